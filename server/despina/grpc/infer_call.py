"""ModelInfer: one inference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from despina.grpc.answers import GZIP_HEADERS, OK_TRAILERS
from despina.grpc.inference import Client, Inference
from despina.grpc.outgoing import packed
from despina.grpc.unary_call import UnaryCall

if TYPE_CHECKING:
    from despina.grpc.call_head import CallHead
    from despina.grpc.http2.stream import Stream
    from despina.server import Server


class InferCall(UnaryCall):
    """One call."""

    __slots__ = ("_client", "_inference")

    def __init__(self, server: Server, stream: Stream, head: CallHead, client: Client) -> None:
        super().__init__(server, stream, head)
        self._client = client
        self._inference = Inference(self._done)

    def start(self, message: bytes | memoryview) -> None:
        try:
            self._inference.start(self.server, self.head, message, self._client)
        except Exception as error:
            self.refuse(error)
            self._inference.written()

    def abandon(self) -> None:
        self._inference.abandon()

    def _done(self, inference: Inference) -> None:
        try:
            message = inference.response()
            if self.head.gzip_level:
                self.stream.answer(GZIP_HEADERS, *packed(message, self.head.gzip_level), OK_TRAILERS)
            else:
                self.reply(message)
        except Exception as error:
            self.refuse(error)
        inference.written()

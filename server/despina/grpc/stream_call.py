"""ModelStreamInfer: many inferences, whose answers come in the order of their requests.

An inference that fails is answered with its error, and the stream goes on, unless the client has asked for a status of
gRPC instead: then the first error ends the stream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from despina.errors import DespinaError, Internal
from despina.grpc.answers import GZIP_HEADERS, HEADERS, OK_TRAILERS, refusal, trailers
from despina.grpc.failures import as_client_error, server_is_ending
from despina.grpc.incoming import Incoming
from despina.grpc.infer_response import failed_in_stream, refused_in_stream
from despina.grpc.inference import Client, Inference
from despina.grpc.outgoing import packed, prefixed
from despina.grpc.status import code_of, message_of

if TYPE_CHECKING:
    from despina.grpc.call_head import CallHead
    from despina.grpc.http2.stream import Buffer, Stream
    from despina.server import Server

MAX_UNANSWERED = 1024
"""Requests of one stream that may be under way. The client may not send more until some are answered."""

MAX_UNSENT = 4 * 1024 * 1024
"""Bytes of answers that may wait for a client to read them, before it may not send more."""


class StreamCall:
    """One stream. Implements `Receiver`."""

    __slots__ = (
        "_begun",
        "_client",
        "_ended",
        "_head",
        "_headers",
        "_incoming",
        "_leaving",
        "_over",
        "_server",
        "_stream",
        "_strict",
        "_unanswered",
    )

    def __init__(self, server: Server, stream: Stream, head: CallHead, client: Client) -> None:
        self._server = server
        self._stream = stream
        self._head = head
        self._client = client
        self._headers = GZIP_HEADERS if head.gzip_level else HEADERS
        self._strict = head.metadata.get(b"triton_grpc_error") == b"true"
        self._incoming = Incoming(server, stream, head, self._refuse)
        self._unanswered: deque[Inference] = deque()
        self._begun = False
        self._ended = False
        self._leaving = False
        self._over = False

    def data_received(self, data: bytes, begin: int, end: int, ended: bool) -> None:
        if self._over:
            return
        try:
            for message in self._incoming.feed(data, begin, end):
                self._start(self._incoming.plain(message))
                if self._over:
                    return
            if ended and self._incoming.partial:
                raise Internal("the request ends before its message does")
        except Exception as error:
            # What comes behind it cannot be told apart.
            self._refuse(error)
            return
        self._ended = ended
        self._go_on()

    def _refuse(self, error: Exception) -> None:
        self._fail(as_client_error(error, self._head))

    def sent(self) -> None:
        self._go_on()

    def server_ends(self) -> None:
        self._leaving = True
        self._go_on()

    def gone(self) -> None:
        self._over = True
        self._incoming.drop()
        unanswered, self._unanswered = self._unanswered, deque()
        for inference in unanswered:
            inference.abandon()

    def _start(self, message: memoryview) -> None:
        inference = Inference(self._done)
        self._unanswered.append(inference)
        try:
            inference.start(self._server, self._head, message, self._client)
        except Exception as error:
            inference.error = error

    def _done(self, inference: Inference) -> None:
        if self._over:
            inference.written()
        else:
            self._go_on()

    def _go_on(self) -> None:
        """Answer what can be answered, and let the client send more."""
        while self._unanswered and self._unanswered[0].answerable and not self._over:
            self._answer(self._unanswered.popleft())
        if self._over:
            return
        if self._ended and not self._unanswered:
            self._end(OK_TRAILERS)
        elif self._leaving and not self._unanswered:
            self._fail(server_is_ending())
        elif len(self._unanswered) < MAX_UNANSWERED and self._stream.unsent < MAX_UNSENT:
            self._incoming.go_on()

    def _answer(self, inference: Inference) -> None:
        try:
            if inference.error is not None:
                raise inference.error
            message = inference.stream_response()
        except Exception as error:
            self._answer_error(inference, as_client_error(error, self._head))
        else:
            self._send(message)
        inference.written()

    def _answer_error(self, inference: Inference, error: DespinaError) -> None:
        if self._strict:
            self._fail(error)
            return
        asked, text = inference.asked, message_of(error)
        if inference.error is not None:
            self._send((refused_in_stream(asked[0], text),))
        else:
            self._send((failed_in_stream(*asked, text),))

    def _send(self, message: Sequence[Buffer]) -> None:
        if not self._begun:
            self._begun = True
            self._stream.send_headers(self._headers)
        level = self._head.gzip_level
        pieces, _ = packed(message, level) if level else prefixed(message)
        self._stream.send(pieces)

    def _fail(self, error: DespinaError) -> None:
        """End the stream."""
        code, text = code_of(error), message_of(error)
        self._stream.end(trailers(code, text) if self._begun else refusal(code, text))
        self.gone()

    def _end(self, block: bytes) -> None:
        self._over = True
        self._stream.end(block if self._begun else self._headers + block)

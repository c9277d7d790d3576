"""Calls over gRPC to both servers, and their answers in the form of those over HTTP, so that they are compared and
counted as those are."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from benchmarks.server_process import answers
from google.protobuf.json_format import MessageToDict
from tests.conformance.replay import NP, Response, unpack
from tests.differential.calls import STREAM, Call
from tests.differential.servers import TIMEOUT_S, Contestant, Pair
from tests.fuzz.corpus import Good

from despina.grpc.messages import message_class

JSON = {"content-type": "application/json"}
GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
"""What may mean that there is no server any more."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`said` is the message of the status; `messages` came before it."""

    status: grpc.StatusCode
    said: str
    messages: Sequence[bytes]


def ask_both(pair: Pair, call: Call) -> tuple[Response | None, Response | None]:
    """What tritonserver and despina answered; None where there was no answer."""
    answered = [ask(each, call) for each in (pair.triton, pair.despina)]
    if pair.triton.server is None or pair.despina.server is None:
        pair.stop()
    theirs, ours = (None if each is None else as_response(call, each) for each in answered)
    return theirs, ours


def ask(contestant: Contestant, call: Call) -> Answer | None:
    """None when there was no answer; a server that does not answer in time is ended."""
    answer = _ask(contestant.dial(), call)
    if answer.status not in GONE:
        return answer
    assert contestant.server is not None
    if answer.status is not grpc.StatusCode.DEADLINE_EXCEEDED and answers(contestant.server.port, "/v2/health/live"):
        return answer
    contestant.stop()
    return None


def _ask(channel: Any, call: Call) -> Answer:
    metadata = (("triton_grpc_error", "true"),) if call.errors_end else ()
    options = {"timeout": TIMEOUT_S, "metadata": metadata, "compression": _compression(call)}
    messages: list[bytes] = []
    try:
        if call.method != STREAM:
            messages.append(channel.unary_unary(call.path)(call.messages[0], **options))
        else:
            for each in channel.stream_stream(call.path)(iter(call.messages), **options):
                messages.append(each)
    except grpc.RpcError as error:
        return Answer(error.code(), str(error.details()), messages)
    return Answer(grpc.StatusCode.OK, "", messages)


def _compression(call: Call) -> grpc.Compression:
    return grpc.Compression.Gzip if call.packed else grpc.Compression.NoCompression


def as_request(call: Call) -> Good:
    """For those who count and show differences."""
    more = [("triton_grpc_error", "true")] if call.errors_end else []
    more += [("grpc-encoding", "gzip")] if call.packed else []
    return Good("CALL", call.path, tuple(more), b" ".join(call.messages))


def as_response(call: Call, answer: Answer) -> Response:
    """Status 200 or, where the call failed, 400; a stream's is 200 and its body says how it ended."""
    failed = answer.status is not grpc.StatusCode.OK
    status = f"{answer.status.name}: {answer.said}" if failed else ""
    if call.method == STREAM:
        said: Any = {"responses": [_document(call, each) for each in answer.messages], "error": status}
    elif failed:
        said = {"error": status}
    else:
        said = _document(call, answer.messages[0])
    return Response(400 if failed and call.method != STREAM else 200, JSON, json.dumps(said).encode())


def _data(response: Any) -> dict[str, Any]:
    """The raw contents of a ModelInferResponse as lists, whose elements are compared as those of tensors in JSON."""
    outputs = zip(response.outputs, response.raw_output_contents, strict=True)
    return {"raw_output_contents": [_elements(output.datatype, raw) for output, raw in outputs]}


def _elements(datatype: str, raw: bytes) -> Sequence[Any]:
    if datatype == "BYTES":
        return [each.decode("latin-1") for each in unpack(raw)]
    elements: Sequence[Any] = np.frombuffer(raw, NP[datatype]).tolist()
    return elements


def _document(call: Call, message: bytes) -> Any:
    if not call.path.startswith("/inference."):
        return {"bytes": message.hex()}
    response = message_class(f"{call.method}Response").FromString(message)
    document = MessageToDict(response, preserving_proto_field_name=True)
    if call.method == STREAM:
        # The name under which errors are compared.
        document["error"] = document.pop("error_message", "")
        document.setdefault("infer_response", {}).update(_data(response.infer_response))
    if call.method == "ModelInfer":
        document |= _data(response)
    if call.method == "ServerMetadata":
        return sorted(document)
    if call.method == "ModelStatistics":
        # Times, and counts that differ where one of the two batches other requests.
        return [{key: each.get(key) for key in ("name", "version")} for each in document.get("model_stats", ())]
    return document

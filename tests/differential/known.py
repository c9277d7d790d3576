"""Differences that are meant: newer releases answer some requests otherwise than tritonserver 2.51, which is compared
with, some of its answers are accidents, and some requests ask for what only one of the two has."""

import re
from collections.abc import Mapping

from tests.conformance.replay import Response
from tests.fuzz.corpus import Good

IN_PLACE = "instance groups are changed by a reload, not in place with the version policy of before"

UNCHANGED = "a tritonserver does not say again why an ensemble failed that has not changed since"

IN_THEIR_ANSWER: Mapping[str, str] = {
    "is at READY state": IN_PLACE,
    "Invalid configuration value provided": "what a backend reads of its parameters is checked later",
    "failed to convert": "what a backend reads of its parameters is checked later",
    "', no version is available": UNCHANGED,
    "loading failed with error: \\n": "a tritonserver does not say why a step failed that cannot be read any more",
    '"trace_rate":"0"': "a rate of 0 that is refused is kept all the same, and then shown",
    "version not ready": "what is not there is 404 or 503 since 2.73, its readiness too",
}
IN_OUR_ANSWER: Mapping[str, str] = {
    "Failed to parse 'data' field: shape does not match": "the text for too few elements is of 2.73",
    "Unable to parse 'data': Shape does not match": "a shape that is too large for its data is 400 since 2.73",
    "nesting depth exceeds": "JSON may be nested 100 deep since 2.73",
    "Unable to parse Inference-Header": "odd values of this header are refused since 2.73",
    "expected a boolean": "wrong types of index requests are 400 since 2.73",
    "GPUs not supported": "the tritonserver of this package was built for GPUs",
    "Integer overflow detected": "windows beyond 64 bits have a text of their own since 2.73",
    "invalid shm key": "a key without a name is the request's fault since 2.73",
    "unable to process address space": "memory that cannot be mapped is the request's fault since 2.73",
    "surrogate pair": "lone halves of surrogate pairs are refused, as they are since 2.73",
    "Number too big": "numbers just beyond a double are refused",
    "Expected a shape that": "a batch of no rows has no elements, not those of one row",
    "which this server does not support": "what is not supported is refused with the reason",
    "path traversal characters": "names that are paths are refused in newer releases",
    "Model name cannot be empty": "empty names are refused in newer releases",
    "contains an invalid dimension": "dimensions below 0 have a text of their own in newer releases",
    "Invalid HTTP request": "what is no HTTP gets an answer",
}
IN_THE_BODY: Mapping[bytes, str] = {
    str(1 << 63).encode(): "dimensions beyond 63 bits are refused at once since 2.73",
    str((1 << 63) - 1).encode(): "sizes beyond 32 bits end or block a tritonserver",
    str(1 << 62).encode(): "sizes beyond 32 bits end or block a tritonserver",
    str(1 << 32).encode(): "sizes beyond 32 bits end or block a tritonserver",
    str(1 << 31).encode(): "sizes beyond 32 bits end or block a tritonserver",
    b"TYPE_BF16": "models of this type are served",
}

ONE_OF_SEVERAL: Mapping[re.Pattern[str], str] = {
    re.compile(r"\binput '([^']*)'"): "which of several wrong inputs is told is a matter of their hashes",
    re.compile(r"(?:parameter|value type for) '([^']*)'"): "and which of several wrong parameters, too",
}
"""What is found wrong with something that has a name, where another one may be wrong as well."""

_GONE = re.compile("ensemble|failed to open directory")


def why(request: Good, complaint: str, theirs: Response | None, ours: Response | None) -> str | None:
    """The reason for a difference, None when none is known."""
    if request.path.endswith("/config") and "version_policy" in complaint:
        return IN_PLACE
    if request.path == "/metrics" and "nv_cache_" in complaint:
        return "a tritonserver measures a version that replaces another one as that one was measured, cached or not"
    their_text, our_text = _text(theirs), _text(ours)
    for fragment, reason in IN_THEIR_ANSWER.items():
        if fragment in their_text:
            return reason
    for fragment, reason in IN_OUR_ANSWER.items():
        if fragment in our_text:
            return reason
    for bytes_sent, reason in IN_THE_BODY.items():
        if bytes_sent in request.body:
            return reason
    for pattern, reason in ONE_OF_SEVERAL.items():
        theirs_named, ours_named = pattern.search(their_text), pattern.search(our_text)
        if theirs_named and ours_named and theirs_named[1] != ours_named[1]:
            return reason
    return _of_the_request(request, their_text, our_text)


def _of_the_request(request: Good, their_text: str, our_text: str) -> str | None:
    if ("triton_grpc_error", "true") in request.headers:
        return "an error ends a stream that asks for it, in newer releases"
    if request.path.endswith("/ModelStreamInfer") and "Unable to parse request" in our_text:
        return "what is no message is told so, and the stream goes on"
    if request.path.endswith("Infer") and "batch-size must be" in our_text and "batch-size must be" not in their_text:
        return "a batch below 0 is refused at once"
    if request.path.endswith("/ModelReady") and their_text == "{}" and "NOT_FOUND" in our_text:
        return "what is not there is an error in newer releases, its readiness too"
    if request.path.startswith("/v1/"):
        return "KServe's first protocol is only spoken here"
    if request.path.endswith("/load") and _says_nothing(their_text) and "ensemble" in our_text:
        return UNCHANGED
    if request.path.endswith("/load") and _GONE.search(their_text) and _says_nothing(our_text):
        return "an ensemble that is gone from the repository is not tried as it was"
    if "is at UNAVAILABLE state" in their_text and sorted(their_text) == sorted(our_text):
        return "versions that fail are told in their order, not in that in which they failed"
    if "output '" in our_text and "already exists in request" in our_text:
        return "an output may be asked for once since 2.73"
    if "/generate" in request.path and "onnx runtime error" in their_text:
        return "what fails in a generate request is 500 since 2.73"
    if any(name.lower() == "transfer-encoding" for name, _ in request.headers):
        return "what is chunked and has a length counts as chunked"
    if not their_text and b"classification" in request.body:
        return "strings that are classified end a tritonserver"
    return None


def _says_nothing(text: str) -> bool:
    return not text or "failed to poll from model repository" in text


def _text(answer: Response | None) -> str:
    return "" if answer is None else answer.body.decode("utf-8", "replace")

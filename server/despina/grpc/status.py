"""Status codes of gRPC, and which one an error is answered with."""

from collections.abc import Mapping

from despina.errors import (
    AlreadyExists,
    Cancelled,
    DespinaError,
    Forbidden,
    Internal,
    InvalidArgument,
    NotFound,
    RequestTimeout,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from despina.grpc.text import as_utf8
from despina.protocol.fields import cut_at_nul

OK = 0
CANCELLED = 1
UNKNOWN = 2
INVALID_ARGUMENT = 3
DEADLINE_EXCEEDED = 4
NOT_FOUND = 5
ALREADY_EXISTS = 6
PERMISSION_DENIED = 7
RESOURCE_EXHAUSTED = 8
FAILED_PRECONDITION = 9
ABORTED = 10
OUT_OF_RANGE = 11
UNIMPLEMENTED = 12
INTERNAL = 13
UNAVAILABLE = 14
DATA_LOSS = 15
UNAUTHENTICATED = 16

_CODES: Mapping[type[DespinaError], int] = {
    Internal: INTERNAL,
    InvalidArgument: INVALID_ARGUMENT,
    NotFound: NOT_FOUND,
    AlreadyExists: ALREADY_EXISTS,
    Unavailable: UNAVAILABLE,
    Unsupported: UNIMPLEMENTED,
    Cancelled: CANCELLED,
    RequestTimeout: RESOURCE_EXHAUSTED,
    Unauthenticated: UNAUTHENTICATED,
    Forbidden: UNAVAILABLE,  # a restricted protocol, as tritonserver answers it
}


def code_of(error: DespinaError) -> int:
    """The code of an error: that of its class or of the nearest one it derives from, INTERNAL when none has one."""
    return next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), INTERNAL)


def message_of(error: DespinaError) -> str:
    """What the client is told. tritonserver's texts end where a NUL is, which a name that it quotes may bring along."""
    return cut_at_nul(as_utf8(error.message))

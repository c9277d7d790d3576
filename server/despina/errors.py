"""Every error a client can see, each with its HTTP status.

    DespinaError
    ├── Internal          500  Internal          also: malformed JSON, wrong JSON types (protocol §0.2)
    ├── InvalidArgument   400  Invalid argument
    ├── NotFound          404  Not found
    ├── AlreadyExists     400  Already exists
    ├── Unavailable       503  Unavailable
    ├── Unsupported       501  Unsupported
    ├── Cancelled         400  Cancelled
    ├── Unauthenticated   401  (API keys)
    ├── Forbidden         403  (restricted API)
    ├── MethodNotAllowed  405
    └── RequestTimeout    408

HTTP answers any of them with `{"error": message}` and its status. `word` is the error code as tritonserver
spells it in the reasons of failed loads ("Invalid argument: ...").
"""

from collections.abc import Mapping


class DespinaError(Exception):
    """An error with a message for the client."""

    status = 500
    word = "Internal"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Internal(DespinaError):
    """Failure inside the server or the runtime, or a request body that is not the JSON it should be."""


class InvalidArgument(DespinaError):
    """The request or the configuration contradicts the model or the protocol."""

    status = 400
    word = "Invalid argument"


class NotFound(DespinaError):
    """Unknown model, version, region or path."""

    status = 404
    word = "Not found"


class AlreadyExists(DespinaError):
    """A name that is taken."""

    status = 400
    word = "Already exists"


class Unavailable(DespinaError):
    """Not now: not ready, queue full, timed out, shutting down.

    `retry_after` is the number of seconds after which a retry has a chance, or None when nobody knows.
    """

    status = 503
    word = "Unavailable"

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unsupported(DespinaError):
    """Understood, but not done here."""

    status = 501
    word = "Unsupported"


class Cancelled(DespinaError):
    """The client gave the request up."""

    status = 400
    word = "Cancelled"


class Unauthenticated(DespinaError):
    """A request without a key where one is needed."""

    status = 401
    word = "Unauthenticated"


class Forbidden(DespinaError):
    """A restricted API without its header."""

    status = 403
    word = "Forbidden"


class MethodNotAllowed(DespinaError):
    """A known path with the wrong HTTP method."""

    status = 405
    word = "Method not allowed"


class RequestTimeout(DespinaError):
    """The client takes too long to send its request. The rest of it is not waited for: its connection is closed."""

    status = 408
    word = "Request timeout"


UNKNOWN_LABEL = "[request id: <id_unknown>] "
"""The label of a request without an id."""


def request_label(request_id: str) -> str:
    """The prefix of many error texts: tritonserver's."""
    return f"[request id: {request_id}] " if request_id else UNKNOWN_LABEL


BACKEND_ERRORS: Mapping[str, type[DespinaError]] = {
    "INTERNAL": Internal,
    "INVALID_ARG": InvalidArgument,
    "NOT_FOUND": NotFound,
    "UNAVAILABLE": Unavailable,
    "UNSUPPORTED": Unsupported,
}
"""What a backend's error is to a client, by its code (`despina_backends.base.ErrorCode`)."""

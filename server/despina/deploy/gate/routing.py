"""From the path of a request to who answers it."""

import enum
from urllib.parse import unquote_to_bytes


class Destination(enum.Enum):
    SERVER = "the inference server"
    SCORE = "the score workers"


def strip_base(target: bytes, base: bytes) -> bytes:
    """The request target without the service's base path and without repeated slashes at its beginning.

    A scoring URI that ends in a slash gives `//v2/...` when a client appends to it.
    """
    path = b"/" + target.lstrip(b"/")
    below = path.removeprefix(base)
    return b"/" + below.lstrip(b"/") if below[:1] in (b"/", b"", b"?") else path


def destination(path: bytes, *, server: bool, score: bool) -> Destination:
    """Paths of the v2 protocol go to the inference server where there is one, the rest to the script."""
    if not score or (server and (path == b"/v2" or path.startswith((b"/v2/", b"/v2?")))):
        return Destination.SERVER
    return Destination.SCORE


def is_work(method: bytes, path: bytes) -> bool:
    """Whether a request makes a model run, and so counts against the limits; health and metadata do not."""
    return method == b"POST" or unquote_to_bytes(path.partition(b"?")[0].partition(b"#")[0]) == b"/score"

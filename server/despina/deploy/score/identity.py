"""The ids of one request, and which of them go back.

Three headers grew over time: `x-request-id` (made up when absent), `x-ms-client-request-id`, and the older
`x-ms-request-id`, which once meant both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

LONGEST = 100


@dataclass(frozen=True, slots=True)
class RequestIds:
    """`client` is empty where the client gave no id of its own."""

    request: str
    legacy: str
    client: str

    def headers(self) -> list[tuple[str, str]]:
        pairs = (
            ("x-request-id", self.request),
            ("x-ms-request-id", self.legacy),
            ("x-ms-client-request-id", self.client),
        )
        return [(name, value) for name, value in pairs if value]


class IdTooLong(Exception):
    """`known` holds the ids that are short enough."""

    def __init__(self, message: str, known: RequestIds) -> None:
        super().__init__(message)
        self.message = message
        self.known = known


def read_ids(headers: Mapping[str, str], new_id: Callable[[], str]) -> RequestIds:
    """Raises IdTooLong: one of them has more than 100 characters."""
    request = headers.get("x-request-id") or new_id()
    if len(request) > LONGEST:
        raise IdTooLong(f"x-request-id must not exceed {LONGEST} characters", RequestIds("", "", ""))
    legacy, client = headers.get("x-ms-request-id", ""), headers.get("x-ms-client-request-id", "")
    ids = RequestIds(request, legacy or client or request, client or legacy)
    if len(ids.legacy) > LONGEST or len(ids.client) > LONGEST:
        raise IdTooLong(
            f"x-ms-request-id and x-ms-client-request-id must not exceed {LONGEST} characters",
            RequestIds(request, "", ""),
        )
    return ids

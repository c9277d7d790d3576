"""Cross-origin headers, for scripts that web pages of other origins call."""

from collections.abc import Mapping, Sequence

METHODS = "GET, POST"


def cors_headers(allowed: Sequence[str], method: str, headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """The headers for one answer; none where the origin is not allowed. `*` in `allowed` allows every origin.

    A request that names no origin is told the only allowed one: a cache may keep that answer for a page.
    """
    origin = headers.get("Origin")
    if origin is None:
        return [("Access-Control-Allow-Origin", allowed[0])] if len(allowed) == 1 else []
    if "*" not in allowed and origin.lower() not in (one.lower() for one in allowed):
        return []
    answer = [("Access-Control-Allow-Origin", origin)]
    if len(allowed) > 1 or "*" in allowed:
        answer.append(("Vary", "Origin"))
    if method == "OPTIONS" and "Access-Control-Request-Method" in headers:
        answer.append(("Access-Control-Allow-Methods", METHODS))
        if wanted := headers.get("Access-Control-Request-Headers"):
            answer.append(("Access-Control-Allow-Headers", wanted))
    return answer

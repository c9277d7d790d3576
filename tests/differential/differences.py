"""What two servers answered to the same request, compared and counted by kind."""

import base64
import re
from collections import Counter
from dataclasses import dataclass, field

from tests.conformance import replay
from tests.differential.known import why
from tests.fuzz.corpus import Good

WRITTEN = "written"
"""Among the headers of an answer: what it left in shared memory."""

_VARYING = re.compile(r"'[^']*'|\[[^\]]*\]|-?\d+")


@dataclass
class Differences:
    """Kinds of differences: how many of each, and the first of each."""

    compared: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def compare(
        self, request: Good, theirs: replay.Response | None, ours: replay.Response | None, *, counted: bool = False
    ) -> bool:
        """Whether the answers agree and are good ones, so that what follows makes sense; `counted` as for
        `complaint_of`."""
        self.compared += 1
        if theirs is not None:
            self.statuses[theirs.status] += 1
        complaint = complaint_of(request, theirs, ours, counted=counted)
        if complaint is None:
            return theirs is not None and theirs.status < 400
        reason = why(request, complaint, theirs, ours)
        if reason is not None:
            self.known[reason] += 1
            return False
        kind = _VARYING.sub("_", f"{complaint} | {_text(theirs)} | {_text(ours)}")[:200]
        self.unknown[kind] += 1
        self.examples.setdefault(kind, _example(request, complaint, theirs, ours))
        return False

    def summary(self) -> str:
        statuses = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        lines = [f"{self.compared} requests, tritonserver answered {statuses}"]
        lines += [f"known, {count} times: {reason}" for reason, count in self.known.most_common()]
        for kind, count in self.unknown.most_common():
            lines += ["", f"{count} times:", self.examples[kind]]
        lines += ["", f"differences without a known reason: {self.unknown.total()} of {len(self.unknown)} kinds"]
        return "\n".join(lines)


def complaint_of(
    request: Good, theirs: replay.Response | None, ours: replay.Response | None, *, counted: bool = False
) -> str | None:
    """How the answers differ, None when they agree; statistics agree in their counts only where those are `counted`."""
    if theirs is None or ours is None:
        missing = "tritonserver" if theirs is None else "despina"
        return None if theirs is ours else f"no answer from {missing}"
    recorded = {
        "request": {"method": request.method, "path": request.path},
        "response": {
            "status": theirs.status,
            "headers": theirs.headers,
            "body_b64": base64.b64encode(theirs.body).decode(),
        },
        "compare": "exact" if counted or not request.path.endswith("/stats") else "structure",
        "io_order": "any",
    }
    try:
        replay.compare(recorded, ours)
    except replay.Bad as bad:
        return f"{bad.kind}: {bad.text}"
    return None if theirs.headers.get(WRITTEN) == ours.headers.get(WRITTEN) else "other bytes in shared memory"


def _text(answer: replay.Response | None) -> str:
    if answer is None:
        return "none"
    body = answer.body[:120].decode("utf-8", "replace") if answer.status >= 400 else ""
    return f"{answer.status} {body}"


def _example(request: Good, complaint: str, theirs: replay.Response | None, ours: replay.Response | None) -> str:
    headers = ", ".join(f"{name}: {value}" for name, value in request.headers)
    return "\n".join(
        [
            f"  {request.method} {request.path} {{{headers}}}",
            f"  {request.body[:300]!r}",
            f"  {complaint[:300]}",
            f"  tritonserver: {_text(theirs)}",
            f"  despina:      {_text(ours)}",
        ]
    )

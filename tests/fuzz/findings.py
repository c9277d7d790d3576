"""What went wrong, counted by kind; one example of each is kept."""

import json
from collections import Counter
from dataclasses import dataclass, field

STATUSES = frozenset({200, 400, 401, 403, 404, 405, 500, 501, 503})
"""What the protocol documents."""

_EXCERPT = 600


@dataclass(slots=True)
class Findings:
    """`inputs` and `statuses` count what was tried and what came back."""

    inputs: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    examples: dict[str, bytes] = field(default_factory=dict)
    measures: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, example: bytes = b"") -> None:
        self.kinds[kind] += 1
        self.examples.setdefault(kind, example)

    def check_answer(self, status: int, body: bytes, example: bytes, empty_allowed: bool = False) -> None:
        """One answer of the server: its status is documented, and an error says what is wrong."""
        self.statuses[status] += 1
        if status not in STATUSES:
            self.add(f"undocumented status {status}", example)
        if b"unexpected failure" in body:
            self.add(f"unexpected failure: {body[:120]!r}", example)
        if status != 200 and not (empty_allowed and not body) and not _is_error(body):
            self.add(f"status {status} without an error text: {body[:80]!r}", example)

    def summary(self) -> str:
        lines = [f"{sum(self.inputs.values())} inputs: " + ", ".join(f"{k} {n}" for k, n in self.inputs.items())]
        lines.append("answers: " + ", ".join(f"{status}: {n}" for status, n in sorted(self.statuses.items())))
        lines += [f"{name}: {value}" for name, value in self.measures.items()]
        lines.append(f"findings: {sum(self.kinds.values())} of {len(self.kinds)} kinds")
        for kind, count in self.kinds.most_common():
            lines += [f"  {count} x {kind}", f"      {self.examples[kind][:_EXCERPT]!r}"]
        return "\n".join(lines)


def _is_error(body: bytes) -> bool:
    try:
        # A stream of events carries the same object behind "data: ".
        document = json.loads(body.removeprefix(b"data: ").decode("utf-8", "surrogateescape"))
    except ValueError:
        return False
    return isinstance(document, dict) and isinstance(document.get("error"), str)

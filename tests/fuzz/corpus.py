"""What good input looks like: the recorded exchanges, and the seeds beside this module."""

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
RECORDED = HERE.parent / "conformance" / "exchanges.jsonl"
REPOSITORY = HERE.parent / "conformance" / "repo_main"
SEEDS = HERE / "seeds"

MODELS = (
    *("digits", "add_sub_int32", "add_sub_fp32", "identity_fp32", "identity_bytes", "identity_fp16", "identity_bool"),
    *("identity_int64_nb", "identity_uint8", "mixed", "two_var", "var_fixed_var", "reshape_io", "scalar_in_auto"),
    *("optional_in", "text_gen", "identity_bytes_nb", "identity_fp64"),
)
"""What the fuzzed servers serve."""

_INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/\d+)?/infer")


@dataclass(frozen=True, slots=True)
class Good:
    """A request that a server answers without complaint, or with one that is known."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def model(self) -> str | None:
        """Whose infer request this is, None for any other."""
        match = _INFER.fullmatch(self.path)
        return match.group(1) if match else None

    @property
    def header_length(self) -> str | None:
        return next((value for name, value in self.headers if name.lower() == "inference-header-content-length"), None)

    def head(self, length: int | str | None = None) -> bytes:
        """The bytes before the body; `length` in place of the true Content-Length."""
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: x"]
        lines += [f"{name}: {value}" for name, value in self.headers if name.lower() != "content-length"]
        lines.append(f"Content-Length: {len(self.body) if length is None else length}")
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")

    @property
    def bytes(self) -> bytes:
        return self.head() + self.body


def recorded() -> list[Good]:
    """The recorded requests of the main repository, without bodies too large to send thousands of times."""
    found: list[Good] = []
    for line in RECORDED.read_text().splitlines():
        entry = json.loads(line)
        if entry["repository"] != REPOSITORY.name:
            continue
        request = entry["request"]
        body = base64.b64decode(request["body_b64"])
        if len(body) <= 4096:
            headers = tuple((name, value) for name, value in request["headers"])
            found.append(Good(request["method"], request["path"], headers, body))
    return found


def seed_bodies() -> dict[str, list[bytes]]:
    """Infer bodies by model: `seeds/MODEL.NAME.json`."""
    bodies: dict[str, list[bytes]] = {}
    for path in sorted(SEEDS.glob("*.json")):
        bodies.setdefault(path.name.split(".")[0], []).append(path.read_bytes())
    return bodies


def raw_seeds() -> Sequence[bytes]:
    """Whole connections, as bytes: `seeds/NAME.http`."""
    return [path.read_bytes() for path in sorted(SEEDS.glob("*.http"))]

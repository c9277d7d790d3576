"""One conversation with both servers: what is said and done in turn, and whether they agree each time."""

import json
import os
import random
import re
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance import replay
from tests.differential.differences import WRITTEN, Differences, complaint_of
from tests.differential.operations import (
    REGIONS,
    SETTLED_S,
    SHARED_SIZE,
    STEPS,
    operations,
    random_flags,
)
from tests.differential.repository import ENSEMBLES, Change, make_repository
from tests.differential.servers import METRICS, Contestant, Pair, both
from tests.fuzz.corpus import Good

PATTERN = bytes(range(1, 65)) * (SHARED_SIZE // 64)
SHARED = Path("/dev/shm")
LIVE = Good("GET", "/v2/health/live", (), b"")
LOOKS = 6
"""A question is asked again while the answers differ: a version may be on its way out."""

_VERSION = re.compile(r',version="\d+"')
_LEFT_OUT = re.compile(r"(# (HELP|TYPE) )?(despina_|nv_model_load_duration_secs)|.*nv_inference_request_failure")
"""What 2.51 does not have, and what counts failures: it has zeros for versions that did not load, too."""


@dataclass
class Conversation:
    """`shared` are the memory objects that requests may use; `settled_s` is how long to wait after a change of files.
    `said` is what was said and done so far; it is `over` when the tritonserver has ended."""

    pair: Pair
    differences: Differences
    shared: Sequence[Path]
    settled_s: float
    said: list[str] = field(default_factory=list)
    over: bool = False

    def go_on(self, step: Good | Change) -> bool:
        """Whether it makes sense to say what belongs with it."""
        if isinstance(step, Change):
            self.said.append(step.said)
            for contestant in (self.pair.triton, self.pair.despina):
                step.apply(contestant.repository)
            time.sleep(self.settled_s)
            return True
        theirs, ours = self._ask(step)
        if self.pair.triton.server is None:
            self.differences.known["a tritonserver ended"] += 1
            self.over = True
            return False
        body = step.body[:300].decode(errors="replace")
        self.said.append(f"{step.method} {step.path} {body} -> {_short(theirs)} | {_short(ours)}")
        return self.differences.compare(step, theirs, ours, counted=_counted(step)) or step.path.endswith("/load")

    def _ask(self, request: Good) -> tuple[replay.Response | None, replay.Response | None]:
        looks = LOOKS if request.method == "GET" or request.path.endswith("/index") else 1
        for look in range(looks):
            time.sleep(0.1 * look)
            theirs, ours = self._answer(self.pair.triton, request), self._answer(self.pair.despina, request)
            ended = self.pair.triton.server is None  # Asked again it would start anew.
            if ended or complaint_of(request, theirs, ours, counted=_counted(request)) is None:
                break
        return theirs, ours

    def _answer(self, contestant: Contestant, request: Good) -> replay.Response | None:
        """The answer; what it left in shared memory is part of it."""
        for path in self.shared:
            path.write_bytes(PATTERN)
        answer = contestant.ask(request)
        if answer is not None and request.path == METRICS:
            return replay.Response(answer.status, {"content-type": "application/json"}, _series(answer.body))
        if answer is not None and request.path.endswith("/infer"):
            answer.headers[WRITTEN] = str([zlib.crc32(path.read_bytes()) for path in self.shared])
        return answer


def _counted(request: Good) -> bool:
    """Whether statistics count what was asked. A tritonserver makes ensembles anew with every load of anything."""
    return request.path != "/v2/models/stats" and not any(f"/{name}/" in request.path for name in ENSEMBLES)


def _series(body: bytes) -> bytes:
    """What is measured of which model, without the values: they are those of the statistics, but for a reload that
    starts anew. A tritonserver keeps the series of some versions that it has replaced."""
    lines = [line for line in body.decode().splitlines() if not _LEFT_OUT.match(line)]
    names = [line if line.startswith("#") else _VERSION.sub("", line.rsplit(" ", 1)[0]) for line in lines]
    return json.dumps(dict.fromkeys(names, "")).encode()


def _short(answer: replay.Response | None) -> str:
    return "none" if answer is None else f"{answer.status} {answer.body[:150].decode('utf-8', 'replace')}"


def converse(folder: Path, seed: int, number: int, differences: Differences, verbose: bool) -> None:
    """One of the conversations of `seed`, to its end or to the first difference without a known reason."""
    rng = random.Random(f"{seed} {number}")
    flags = random_flags(rng)
    polls = "--model-control-mode=poll" in flags
    with _shared_memory() as (key, shared), both(folder, flags, make_repository) as pair:
        conversation = Conversation(pair, differences, shared, SETTLED_S if polls else 0)
        conversation.said.append(" ".join(flags))
        pair.ask(LIVE)  # starts them
        steps = (steps for _, steps in zip(range(STEPS), operations(rng, key), strict=False))
        before = differences.unknown.total()
        for together in steps:
            all(conversation.go_on(step) for step in together)
            if conversation.over or differences.unknown.total() > before:
                break
    if verbose or differences.unknown.total() > before:
        print(f"\nconversation {number} of seed {seed}:", *conversation.said, sep="\n  ", file=sys.stderr)


@contextmanager
def _shared_memory() -> Iterator[tuple[str, list[Path]]]:
    """The key of a shared memory object per region, without the name of the region, and where they lie."""
    key = f"/despina-differential-{os.getpid()}-"
    paths = [SHARED / f"{key[1:]}{region}" for region in REGIONS]
    for path in paths:
        path.write_bytes(PATTERN)
    try:
        yield key, paths
    finally:
        for path in paths:
            path.unlink()

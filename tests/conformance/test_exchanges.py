"""Every recorded exchange, replayed against a server started like the recorded one."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.conformance import replay
from tests.support.serving import serving

HERE = Path(__file__).parent


EXCHANGES: dict[tuple[str, str], list[dict[str, Any]]] = {}
for line in (HERE / "exchanges.jsonl").read_text().splitlines():
    entry = json.loads(line)
    EXCHANGES.setdefault((entry["profile"], entry["group"]), []).append(entry)


@pytest.fixture(scope="module")
def server_of() -> Iterator[Callable[[str, dict[str, Any]], int]]:
    """Starts the server of a profile when its first group comes, and stops it when another profile's does: once for
    each, because the groups are sorted."""
    with ExitStack() as stack:
        running: dict[str, int] = {}

        def start(profile: str, entry: dict[str, Any]) -> int:
            if profile not in running:
                stack.pop_all().close()
                running.clear()
                flags = [*entry["server_flags"], "--allow-client-shm=true"]
                running[profile] = stack.enter_context(serving(HERE / entry["repository"], flags))
            return running[profile]

        yield start


@pytest.mark.parametrize(("profile", "group"), sorted(EXCHANGES), ids=lambda value: value)
def test_answers_are_those_of_the_recorded_server(
    profile: str, group: str, server_of: Callable[[str, dict[str, Any]], int]
) -> None:
    entries = EXCHANGES[profile, group]
    failures: list[str] = []
    passed, _, _ = replay.run(entries, "127.0.0.1", server_of(profile, entries[0]), out=failures.append)
    assert failures == []
    assert sum(passed.values()) == len(entries)

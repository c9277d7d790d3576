from pathlib import Path
from typing import Any

import pytest
from benchmarks.measurement import Point
from benchmarks.scenarios import served
from benchmarks.scenarios.answers import FirstAnswers
from benchmarks.scenarios.catalogue import SCENARIOS
from benchmarks.scenarios.contenders import CACHE, SHARED_MEMORY, DespinaScenarios, TritonScenarios, running
from benchmarks.scenarios.region import Region, region
from benchmarks.scenarios.scenario import Scenario
from benchmarks.server_process import NotStarted, ServerProcess, free_port


def test_every_scenario_is_answered_with_what_it_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "REPOSITORIES", tmp_path)
    monkeypatch.setattr("benchmarks.despina_server.OUT", tmp_path)
    monkeypatch.setattr("benchmarks.scenarios.answers.SAMPLE", 8)
    repository, flags = served.write_repository(), (CACHE, SHARED_MEMORY)
    with region() as memory:
        despina = DespinaScenarios(repository, SCENARIOS, FirstAnswers(), memory, flags).start()
        try:
            for each in SCENARIOS:
                despina.verify(Point(each.name, each.kind, 4))
        finally:
            despina.stop()


def test_without_its_backend_tritonserver_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_BACKEND_DIRECTORY", raising=False)
    with pytest.raises(NotStarted, match="set TRITON_BACKEND_DIRECTORY"):
        TritonScenarios(Path("r"), (), FirstAnswers(), Region(Path("m"))).start()


class Ended:
    """A server process of which only is known whether it has ended."""

    def __init__(self, status: int | None, port: int = 1) -> None:
        self.status = status
        self.port = port
        self.process = self
        self.stopped = False

    def poll(self) -> int | None:
        return self.status

    def stop(self) -> None:
        self.stopped = True


def test_a_server_that_ended_is_started_anew_for_the_next_scenario(
    monkeypatch: pytest.MonkeyPatch, posts: tuple[int, list[tuple[str, Any]]]
) -> None:
    port, seen = posts
    servers = [Ended(139, port), Ended(None, port)]
    started: list[Ended] = []

    def start() -> ServerProcess:
        started.append(servers[len(started)])
        return started[-1]  # type: ignore[return-value]

    monkeypatch.setattr(FirstAnswers, "verify", lambda *_: None)
    with region() as memory:
        contender = running(start, [Scenario("s", "json", ())], FirstAnswers(), memory)
        assert len(seen) == 1
        contender.verify(Point("s", "json", 1))
        contender.verify(Point("s", "json", 16))
    assert started == servers
    assert [path for path, _ in seen] == ["/v2/systemsharedmemory/region/scenarios/register"] * 2


def test_a_server_that_takes_no_shared_memory_is_stopped() -> None:
    server = Ended(None, free_port())
    with region() as memory, pytest.raises(OSError, match="refused"):
        running(lambda: server, (), FirstAnswers(), memory)  # type: ignore[arg-type,return-value]
    assert server.stopped

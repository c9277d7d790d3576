from pathlib import Path

import pytest
from benchmarks.measurement import Point
from benchmarks.scenarios import served
from benchmarks.scenarios.answers import FirstAnswers
from benchmarks.scenarios.catalogue import SCENARIOS
from benchmarks.scenarios.contenders import CACHE, DespinaScenarios, TritonScenarios, running
from benchmarks.scenarios.scenario import Scenario
from benchmarks.server_process import NotStarted, ServerProcess


def test_every_scenario_is_answered_with_what_it_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "REPOSITORIES", tmp_path)
    monkeypatch.setattr("benchmarks.despina_server.OUT", tmp_path)
    monkeypatch.setattr("benchmarks.scenarios.answers.SAMPLE", 8)
    despina = DespinaScenarios(served.write_repository(), SCENARIOS, FirstAnswers(), (CACHE,)).start()
    try:
        for each in SCENARIOS:
            despina.verify(Point(each.name, each.kind, 4))
    finally:
        despina.stop()


def test_without_its_backend_tritonserver_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_BACKEND_DIRECTORY", raising=False)
    with pytest.raises(NotStarted, match="set TRITON_BACKEND_DIRECTORY"):
        TritonScenarios(Path("r"), (), FirstAnswers()).start()


class Ended:
    """A server process of which only is known whether it has ended."""

    def __init__(self, status: int | None) -> None:
        self.status = status
        self.port = 1
        self.process = self

    def poll(self) -> int | None:
        return self.status


def test_a_server_that_ended_is_started_anew_for_the_next_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = [Ended(139), Ended(None)]
    started: list[Ended] = []

    def start() -> ServerProcess:
        started.append(servers[len(started)])
        return started[-1]  # type: ignore[return-value]

    monkeypatch.setattr(FirstAnswers, "verify", lambda *_: None)
    contender = running(start, [Scenario("s", "json", ())], FirstAnswers())
    contender.verify(Point("s", "json", 1))
    contender.verify(Point("s", "json", 16))
    assert started == servers

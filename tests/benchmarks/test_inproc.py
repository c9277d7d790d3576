import asyncio
from pathlib import Path

import pytest
from benchmarks import inproc, models, repository
from benchmarks.repository import Batching, write_repository


def test_it_answers_without_sockets_and_counts_the_cpu_of_all_its_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "BUILT", tmp_path)
    monkeypatch.setattr(repository, "REPOSITORIES", tmp_path)
    cpu = iter([1.0, 4.0])
    monkeypatch.setattr(inproc, "tree_cpu_s", lambda pid: next(cpu))
    served = write_repository("repository", ["identity"], Batching())
    taken = asyncio.run(inproc.measure(served, "identity", "binary", 2, 0.05))
    assert taken["rows"] > 0
    assert taken["cpu_seconds"] == 3.0

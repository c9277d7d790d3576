import pytest
from benchmarks.raw import make_workload, measure
from benchmarks.server_process import NotStarted
from benchmarks.session import BoundSession, Speed, open_session


def test_rows_go_through_a_session_that_is_bound_to_its_device() -> None:
    told = measure("mlp", "cpu", threads=1, batch=4, seconds=0.02)
    assert told["seconds"] >= 0.02
    assert told["rows"] > 0
    assert told["rows"] % 4 == 0


def test_a_batch_is_run_once_at_least() -> None:
    workload = make_workload("mlp")
    assert BoundSession(open_session("mlp", "cpu", 1), workload.inputs, 3, "cpu").run(0.0).rows == 3


def test_rows_per_second() -> None:
    assert Speed(30, 2.0).rows_per_second == 15


def test_answers_may_be_those_of_another_session() -> None:
    given = make_workload("mlp", open_session("mlp", "cpu", 2))
    usual = make_workload("mlp")
    assert (given.expected.shape, given.tolerance) == (usual.expected.shape, usual.tolerance)


def test_a_session_that_fell_back_to_the_cpu_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    class Options:
        intra_op_num_threads = 0

    class Session:
        def __init__(self, *_: object, providers: list[object]) -> None:
            assert providers == [("CUDAExecutionProvider", {"device_id": "0"}), "CPUExecutionProvider"]

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    class Runtime:
        SessionOptions = Options
        InferenceSession = Session

    monkeypatch.setattr("benchmarks.session.load_runtime", lambda: Runtime)
    with pytest.raises(NotStarted, match="the session runs on CPUExecutionProvider, not on the GPU"):
        open_session("mlp", "gpu")

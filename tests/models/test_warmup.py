import logging

import numpy as np
import pytest
from google.protobuf import text_format

from despina.config.proto import ModelConfig
from despina.errors import DespinaError, InvalidArgument
from despina.models.model import count_warmup
from despina.models.warmup import WarmupExecution, read_samples, run_samples
from despina.telemetry.statistics import Duration, ModelStatistics
from despina_backends.base import BackendError, Execution


def config(sample, max_batch_size=8, tensors='input { name: "X" data_type: TYPE_FP32 dims: [ 2 ] }'):
    text = f'name: "m" max_batch_size: {max_batch_size} {tensors} model_warmup {{ name: "s" {sample} }}'
    return text_format.Parse(text, ModelConfig())


def tensor(kind, datatype="TYPE_FP32", dims="2"):
    return f'inputs {{ key: "X" value {{ data_type: {datatype} dims: [ {dims} ] {kind} }} }}'


class Recorder:
    def __init__(self):
        self.batches = []

    def execute(self, batch):
        self.batches.append(batch)
        return Execution({}, 0, 0)

    def close(self):
        pass


def test_a_sample_is_requests_of_batch_one_executed_together_on_every_instance(tmp_path):
    samples = read_samples(config(f"batch_size: 3 count: 2 {tensor('zero_data: true')}"), tmp_path)
    instances = [Recorder(), Recorder()]
    executions = run_samples("m", samples, [("m_0", instance) for instance in instances])
    for instance in instances:
        assert [batch.rows for batch in instance.batches] == [3, 3]
        parts = instance.batches[0].inputs["X"]
        assert [(part.shape, part.dtype) for part in parts] == [((1, 2), np.dtype("<f4"))] * 3
    assert [(execution.rows, execution.requests) for execution in executions] == [(3, 3)] * 4


def test_without_a_batch_dimension_requests_run_one_after_another(tmp_path):
    samples = read_samples(config(f"batch_size: 2 {tensor('zero_data: true')}", max_batch_size=0), tmp_path)
    instance = Recorder()
    executions = run_samples("m", samples, [("m_0", instance)])
    assert [(batch.rows, batch.inputs["X"][0].shape) for batch in instance.batches] == [(0, (2,))] * 2
    assert [(execution.rows, execution.requests) for execution in executions] == [(1, 1)] * 2


@pytest.mark.parametrize("max_batch_size", [8, 0])
def test_every_iteration_on_every_instance_is_in_the_verbose_log(tmp_path, caplog, max_batch_size):
    samples = read_samples(config(f"batch_size: 3 count: 2 {tensor('zero_data: true')}", max_batch_size), tmp_path)
    with caplog.at_level(logging.DEBUG):
        run_samples("m", samples, [("m_0_0", Recorder()), ("m_0_1", Recorder())])
    assert [record.getMessage() for record in caplog.records] == [
        f"model 'm' instance {name} is running warmup sample 's' for iteration {iteration}"
        for name in ("m_0_0", "m_0_1")
        for iteration in (1, 2)
    ]


def test_batch_size_zero_is_skipped(tmp_path):
    assert read_samples(config(tensor("zero_data: true")), tmp_path) == []


def test_the_model_sees_the_reshaped_tensor(tmp_path):
    tensors = 'input { name: "X" data_type: TYPE_FP32 dims: [ -1, 4 ] reshape { shape: [ 2, -1, 2 ] } }'
    samples = read_samples(config(f"batch_size: 1 {tensor('zero_data: true', dims='3, 4')}", 8, tensors), tmp_path)
    assert samples[0].inputs["X"].shape == (1, 2, 3, 2)


@pytest.mark.parametrize(
    ("kind", "datatype", "content", "expected"),
    [
        ("zero_data: true", "TYPE_INT64", b"", np.zeros(2, "<i8")),
        ("zero_data: true", "TYPE_STRING", b"", np.array([b"", b""], object)),
        ("random_data: true", "TYPE_STRING", b"", np.array([b"", b""], object)),
        ('input_data_file: "f"', "TYPE_FP32", np.array([1, 2, 3], "<f4").tobytes(), np.array([1, 2], "<f4")),
        ('input_data_file: "f"', "TYPE_STRING", b"\2\0\0\0ab\0\0\0\0", np.array([b"ab", b""], object)),
        ('input_data_file: "/../warmup//f"', "TYPE_FP32", np.array([1, 2], "<f4").tobytes(), np.array([1, 2], "<f4")),
    ],
)
def test_where_the_data_comes_from(tmp_path, kind, datatype, content, expected):
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup" / "f").write_bytes(content)
    taken = f'input {{ name: "X" data_type: {datatype} dims: [ 2 ] }}'
    samples = read_samples(config(f"batch_size: 1 {tensor(kind, datatype)}", 8, taken), tmp_path)
    got = samples[0].inputs["X"][0]
    assert got.dtype == expected.dtype
    assert got.tolist() == expected.tolist()


@pytest.mark.parametrize("datatype", ["TYPE_BOOL", "TYPE_FP16", "TYPE_BF16", "TYPE_UINT64"])
def test_random_data_has_the_type_asked_for(tmp_path, datatype):
    taken = f'input {{ name: "X" data_type: {datatype} dims: [ 100 ] }}'
    samples = read_samples(config(f"batch_size: 1 {tensor('random_data: true', datatype, '100')}", 8, taken), tmp_path)
    got = samples[0].inputs["X"]
    assert got.shape == (1, 100)
    assert len(np.unique(got.view(np.uint8))) > 1
    if datatype == "TYPE_BOOL":
        assert set(got.view(np.uint8).ravel()) == {0, 1}


@pytest.mark.parametrize(
    ("kind", "datatype", "dims", "text"),
    [
        (
            "zero_data: true",
            "TYPE_FP32",
            "-1",
            "warmup setting expects all variable-size dimensions are specified for input 'X'",
        ),
        (
            "",
            "TYPE_FP32",
            "2",
            "[request id: <id_unknown>] warmup setting expects input 'X' to have input_data_type set",
        ),
        (
            'input_data_file: "f"',
            "TYPE_FP32",
            "2",
            "[request id: <id_unknown>] warmup setting expects 8 bytes, but the data provided from fonly has 3 bytes",
        ),
        (
            'input_data_file: "f"',
            "TYPE_STRING",
            "2",
            "[request id: <id_unknown>] incomplete string length indicator for inference input 'X' for model 'm', "
            "expecting 4 bytes but only 3 bytes available.",
        ),
        (
            'input_data_file: "long"',
            "TYPE_STRING",
            "1",
            "[request id: <id_unknown>] unexpected number of string elements 2 for inference input 'X' for model 'm', "
            "expecting 1",
        ),
        ('input_data_file: "none"', "TYPE_FP32", "2", "failed to open text file for read"),
        ('input_data_file: "/dev/zero"', "TYPE_FP32", "2", "/warmup/dev/zero"),
        (
            'input_data_file: "../../f"',
            "TYPE_FP32",
            "2",
            "warmup file path '../../f' for input 'X' is outside model directory",
        ),
    ],
)
def test_settings_that_give_no_data(tmp_path, kind, datatype, dims, text):
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup" / "f").write_bytes(b"abc")
    (tmp_path / "warmup" / "long").write_bytes(b"\1\0\0\0a\0\0\0\0")
    with pytest.raises(DespinaError) as error:
        read_samples(config(f"batch_size: 1 {tensor(kind, datatype, dims)}"), tmp_path)
    assert text in error.value.message


@pytest.mark.parametrize(
    ("sample", "text"),
    [
        ("batch_size: 1", "[request id: <id_unknown>] expected 1 inputs but got 0 inputs for model 'm'"),
        (
            f"batch_size: 1 {tensor('zero_data: true', 'TYPE_INT32')}",
            "inference input 'X' data-type is 'INT32', but model 'm' expects 'FP32'",
        ),
        (
            f"batch_size: 1 {tensor('zero_data: true', dims='3')}",
            "unexpected shape for input 'X' for model 'm'. Expected [-1,2], got [1,3].",
        ),
    ],
)
def test_a_sample_is_what_a_client_could_ask_for(tmp_path, sample, text):
    with pytest.raises(InvalidArgument) as error:
        read_samples(config(sample), tmp_path)
    assert text in error.value.message


def test_tensors_that_no_client_sends_are_taken_as_they_are(tmp_path):
    control = tensor("zero_data: true", "TYPE_INT32", "1").replace('"X"', '"START"')
    (sample,) = read_samples(config(f"batch_size: 1 {tensor('zero_data: true')} {control}"), tmp_path)
    assert {name: array.shape for name, array in sample.inputs.items()} == {"X": (1, 2), "START": (1, 1)}


class Failing(Recorder):
    def execute(self, batch):
        super().execute(batch)
        raise BackendError("out of range")


@pytest.mark.parametrize(
    ("batch_size", "errors"),
    [(1, "out of range; "), (2, "out of range; out of range; "), (500, "out of range; " * 100)],
)
def test_a_sample_that_fails_is_named_with_an_error_for_each_of_its_requests(tmp_path, batch_size, errors):
    samples = read_samples(config(f"batch_size: {batch_size} {tensor('zero_data: true')}", 1000), tmp_path)
    with pytest.raises(InvalidArgument) as error:
        run_samples("m", samples, [("m_0", Failing())])
    assert error.value.message == f"failed to run warmup sample 's': {errors}"


@pytest.mark.parametrize(("max_batch_size", "errors"), [(8, 2), (0, 1)])
def test_a_last_string_that_is_cut_short_is_an_error_of_each_request(tmp_path, max_batch_size, errors):
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup" / "f").write_bytes(b"\1\0\0\0a\5\0\0\0b")
    sample = "batch_size: 2 " + tensor('input_data_file: "f"', "TYPE_STRING")
    with pytest.raises(InvalidArgument) as error:
        read_samples(config(sample, max_batch_size), tmp_path)
    text = "incomplete string data for inference input 'X', expecting string of length 5 but only 1 bytes available; "
    assert error.value.message == f"failed to run warmup sample 's': {text * errors}"


def test_the_first_sample_that_fails_ends_the_warmup(tmp_path):
    samples = read_samples(config(f"batch_size: 1 count: 3 {tensor('zero_data: true')}"), tmp_path)
    instances = [Failing(), Failing()]
    with pytest.raises(InvalidArgument) as error:
        run_samples("m", samples * 2, [("m_0", instance) for instance in instances])
    assert error.value.message == "failed to run warmup sample 's': out of range; "
    assert [len(instance.batches) for instance in instances] == [1, 0]


def test_a_sample_of_more_than_the_largest_batch_fails_on_the_instance(tmp_path):
    samples = read_samples(config(f"batch_size: 3 {tensor('zero_data: true')}", 2), tmp_path)
    instance = Recorder()
    with pytest.raises(InvalidArgument) as error:
        run_samples("m", samples, [("m_0_0", instance)])
    errors = "batch size 3 for 'm_0_0', max allowed is 2; " * 3
    assert error.value.message == f"failed to run warmup sample 's': {errors}"
    assert instance.batches == []


def test_a_sample_of_the_largest_batch_runs(tmp_path):
    samples = read_samples(config(f"batch_size: 2 {tensor('zero_data: true')}", 2), tmp_path)
    instance = Recorder()
    run_samples("m", samples, [("m_0_0", instance)])
    assert [batch.rows for batch in instance.batches] == [2]


def test_the_times_of_an_execution_follow_one_another(tmp_path, monkeypatch):
    class Timed(Recorder):
        def execute(self, batch):
            return Execution({}, 600, 1000)

    samples = read_samples(config(f"batch_size: 2 {tensor('zero_data: true')}"), tmp_path)
    clock = iter([100, 300, 1500])
    monkeypatch.setattr("despina.models.warmup.time.monotonic_ns", lambda: next(clock))
    (run,) = run_samples("m", samples, [("m_0", Timed())])
    assert (run.queue_ns, run.input_ns, run.infer_ns, run.output_ns) == (200, 300, 400, 500)


@pytest.mark.parametrize("max_batch_size", [8, 0])
def test_a_sample_has_been_queued_before_it_is_executed(tmp_path, max_batch_size):
    samples = read_samples(config(f"batch_size: 2 {tensor('zero_data: true')}", max_batch_size), tmp_path)
    executions = run_samples("m", samples, [("m_0", Recorder())])
    assert all(execution.queue_ns > 0 for execution in executions)


def test_every_request_of_a_warmup_counts_with_its_times():
    statistics = ModelStatistics()
    count_warmup(
        statistics, [WarmupExecution(rows=2, requests=2, queue_ns=1, input_ns=10, infer_ns=100, output_ns=1000)]
    )
    assert (statistics.success, statistics.queue) == (Duration(2, 2222), Duration(2, 2))
    assert (statistics.execution_count, statistics.inference_count) == (1, 2)

import logging

import numpy as np
import pytest
from google.protobuf import text_format

from despina.config.proto import ModelConfig
from despina.errors import InvalidArgument
from despina.models.warmup import Sample
from despina.models.warmup_sizes import run_sizes, size_samples, warmup_sizes
from despina_backends.base import BackendError, Device, Execution

CPU, GPU = Device("CPU"), Device("GPU")
TENSORS = 'input { name: "X" data_type: TYPE_FP16 dims: 2 } input { name: "S" data_type: TYPE_STRING dims: 1 }'


def config(text="", sizes="", max_batch_size=8):
    parameter = f'parameters {{ key: "warmup_batch_sizes" value {{ string_value: "{sizes}" }} }}' if sizes else ""
    return text_format.Parse(f'name: "m" max_batch_size: {max_batch_size} {parameter} {text}', ModelConfig())


class Recorder:
    def __init__(self, fails_at=()):
        self.batches = []
        self.fails_at = fails_at

    def execute(self, batch):
        self.batches.append(batch)
        if batch.rows in self.fails_at:
            raise BackendError("out of memory")
        return Execution({}, 0, 0)

    def close(self):
        pass


@pytest.mark.parametrize(
    ("given", "device", "expected"),
    [
        (config(), GPU, (1, 8)),
        (config(), CPU, ()),
        (config("dynamic_batching { preferred_batch_size: [ 4, 2 ] }"), GPU, (1, 2, 4, 8)),
        (config(sizes="all"), CPU, (1, 8)),
        (config(sizes="none"), GPU, ()),
        (config(sizes="3, 1"), GPU, (1, 3)),
        (config(max_batch_size=0), GPU, (1,)),
    ],
)
def test_which_sizes_are_warmed_up(given, device, expected):
    assert warmup_sizes(given, device) == expected


@pytest.mark.parametrize("sizes", ["some", "0", "1,9", "1,,2"])
def test_other_values_are_refused(sizes):
    with pytest.raises(InvalidArgument) as error:
        warmup_sizes(config(sizes=sizes), GPU)
    assert error.value.message == (
        "model 'm': parameter 'warmup_batch_sizes': expected all, none or sizes from 1 to 8 separated by commas, "
        f"got '{sizes}'"
    )


def test_a_batch_is_single_rows_of_zeros():
    instance = Recorder()
    run_sizes("m", size_samples(config(TENSORS), (1, 4), []), instance)
    assert [batch.rows for batch in instance.batches] == [1, 1, 4, 4]
    parts = instance.batches[2].inputs
    assert [(part.shape, part.dtype, part.any()) for part in parts["X"]] == [((1, 2), np.dtype("f2"), False)] * 4
    assert parts["S"][0].tolist() == [[b""]]


def test_optional_inputs_are_left_out():
    (sample,) = size_samples(config(TENSORS + 'input { name: "O" dims: -1 optional: true }'), (1,), [])
    assert list(sample.inputs) == ["X", "S"]


def test_without_a_batch_dimension_there_is_one_execution():
    (sample,) = size_samples(config(TENSORS, max_batch_size=0), (1,), [])
    assert (sample.batch().rows, sample.batch().inputs["X"][0].shape) == (0, (2,))


def test_the_configurations_sample_is_taken_where_there_is_one():
    tensors = 'input { name: "X" data_type: TYPE_FP32 dims: -1 }'
    row = {"X": np.ones((1, 7), np.float32)}
    samples = size_samples(config(tensors), (2,), [Sample("w", row, 3, 8, 5)])
    assert [(sample.requests, sample.count, sample.inputs) for sample in samples] == [(2, 1, row)]


def test_shapes_nobody_knows_are_not_warmed_up(caplog):
    caplog.set_level(logging.INFO)
    assert size_samples(config('input { name: "X" data_type: TYPE_FP32 dims: -1 }'), (1, 8), []) == []
    assert "batch sizes are not warmed up" in caplog.text


def test_times_are_logged_and_a_failure_does_not_stop_the_rest(caplog):
    caplog.set_level(logging.INFO)
    instance = Recorder(fails_at=(4,))
    run_sizes("m", size_samples(config(TENSORS), (1, 4, 8), []), instance)
    assert "model 'm': batch of 1 took" in caplog.text
    assert "model 'm': warm-up with a batch of 4 failed: out of memory" in caplog.text
    assert "model 'm': batch of 8 took" in caplog.text


def test_without_sizes_no_input_is_made_however_large_it_may_be():
    huge = config('input { name: "X" data_type: TYPE_FP32 dims: [ 1099511627776, 1099511627776 ] }')
    assert size_samples(huge, (), []) == []

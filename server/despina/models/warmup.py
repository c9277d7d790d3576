"""Warm-up: the first, slow executions happen before a version is ready (config §6.5).

Each sample becomes `batch_size` requests of batch 1, executed together on every instance, `count` times. What was
executed is reported, because the statistics of the model count it. The first sample that fails ends it, with an error
for each of its requests.
"""

import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np

from despina.config.datatypes import protocol_name
from despina.config.proto import Message, ModelConfig, model_config_pb2
from despina.errors import UNKNOWN_LABEL, Internal, InvalidArgument, Unsupported
from despina.models.signature import Signature
from despina.protocol.bytes_tensor import decode
from despina.protocol.datatypes import DATATYPES
from despina.protocol.messages import InferInput, InferRequest
from despina_backends.base import Array, BackendError, Batch, Instance

_log = logging.getLogger(__name__)

FOLDER = "warmup"
_MOST_ERRORS = 100
"""So many errors of one sample are told."""


class WarmupExecution(NamedTuple):
    """One executed batch; times in nanoseconds, as `ModelStatistics.record_execution` takes them."""

    rows: int
    requests: int
    queue_ns: int
    input_ns: int
    infer_ns: int
    output_ns: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One entry of `model_warmup`, ready to be executed. `inputs` are the tensors of one request as the model takes
    them, batch dimension included; each of `count` iterations is `runs` executions. `most` is the model's
    max_batch_size, 0 where there is no batch dimension."""

    name: str
    inputs: Mapping[str, Array]
    requests: int
    most: int
    count: int
    runs: int = 1

    def batch(self) -> Batch:
        parts = {name: [tensor] * self.requests for name, tensor in self.inputs.items()}
        return Batch(inputs=parts, rows=self.requests if self.most else 0)


def read_samples(config: ModelConfig, directory: Path) -> list[Sample]:
    """The samples of `config`; data files lie in `directory`/warmup. Raises Internal, Unsupported for a file elsewhere,
    and InvalidArgument: a sample has to be what clients could ask for."""
    return [_sample(config, setting, directory) for setting in config.model_warmup if setting.batch_size > 0]


def run_samples(
    model: str, samples: Iterable[Sample], instances: Sequence[tuple[str, Instance]]
) -> tuple[WarmupExecution, ...]:
    """Execute every sample on every instance; `instances` come with their names, which groups may share. Blocks. Raises
    InvalidArgument naming the first sample that fails."""
    executions: list[WarmupExecution] = []
    for name, instance in instances:
        for sample in samples:
            try:
                executions += _iterate(sample, instance, model, name)
            except BackendError as error:
                raise _failed(sample.name, error.message, sample.requests) from error
    return tuple(executions)


def _failed(sample: str, error: str, requests: int) -> InvalidArgument:
    return InvalidArgument(f"failed to run warmup sample '{sample}': {f'{error}; ' * min(requests, _MOST_ERRORS)}")


def _iterate(sample: Sample, instance: Instance, model: str, name: str) -> Iterator[WarmupExecution]:
    if 0 < sample.most < sample.requests:
        raise BackendError(f"batch size {sample.requests} for '{name}', max allowed is {sample.most}", "INVALID_ARG")
    where = f"model '{model}' instance {name}"
    for iteration in range(1, sample.count + 1):
        _log.debug("%s is running warmup sample '%s' for iteration %d", where, sample.name, iteration)
        for _ in range(sample.runs):
            yield _execute(sample, instance)


def _execute(sample: Sample, instance: Instance) -> WarmupExecution:
    queued = time.monotonic_ns()
    batch = sample.batch()
    start = time.monotonic_ns()
    execution = instance.execute(batch)
    end = time.monotonic_ns()
    return WarmupExecution(
        rows=sample.requests,
        requests=sample.requests,
        queue_ns=start - queued,
        input_ns=execution.input_end_ns - start,
        infer_ns=execution.infer_end_ns - execution.input_end_ns,
        output_ns=end - execution.infer_end_ns,
    )


def _sample(config: ModelConfig, setting: Message, directory: Path) -> Sample:
    batches = config.max_batch_size > 0
    # Without a batch dimension nothing can be put together: the sample's requests run one after another.
    requests = setting.batch_size if batches else 1
    try:
        inputs = _inputs(config, setting, directory, batches)
    except _CutShort as error:
        raise _failed(setting.name, str(error), requests) from None
    return Sample(
        name=setting.name,
        inputs=inputs,
        requests=requests,
        most=config.max_batch_size,
        count=max(1, setting.count),
        runs=1 if batches else setting.batch_size,
    )


def _inputs(config: ModelConfig, setting: Message, directory: Path, batches: bool) -> dict[str, Array]:
    """Of one request, as the model takes them. Those that clients do not send, controls of sequences, have the shape
    they are given."""
    signature = Signature(config)
    request = InferRequest()
    others: dict[str, Array] = {}
    for name in sorted(setting.inputs):
        described = setting.inputs[name]
        shape = (1, *described.dims) if batches else tuple(described.dims)
        tensor = _tensor(config.name, name, described, directory)
        if name in signature.inputs:
            request.inputs.append(InferInput(name, protocol_name(described.data_type), shape, tensor))
        else:
            others[name] = tensor.reshape(shape)
    return signature.admit(request).inputs | others


def _tensor(model: str, name: str, described: Message, directory: Path) -> Array:
    """One request's tensor, flat."""
    if any(dim < 0 for dim in described.dims):
        raise InvalidArgument(f"warmup setting expects all variable-size dimensions are specified for input '{name}'")
    elements = prod(described.dims)
    datatype = model_config_pb2.DataType.Name(described.data_type).removeprefix("TYPE_")
    kind = described.WhichOneof("input_data_type")
    if kind == "input_data_file":
        content = _read(_path(name, described.input_data_file, directory))
        if datatype == "STRING":
            return _strings(content, elements, name, model)
        return _numbers(content, _dtype(datatype, name), elements, described.input_data_file)
    if kind is None:
        raise InvalidArgument(f"{UNKNOWN_LABEL}warmup setting expects input '{name}' to have input_data_type set")
    if datatype == "STRING":
        return np.full(elements, b"", dtype=object)
    dtype = _dtype(datatype, name)
    return _random(dtype, elements) if kind == "random_data" else np.zeros(elements, dtype)


class _CutShort(Exception):
    """The last string of a file is longer than what is left, which tritonserver notices when the sample runs."""


def _strings(content: bytes, elements: int, name: str, model: str) -> Array:
    try:
        return decode(memoryview(content), elements, name, model, UNKNOWN_LABEL)
    except InvalidArgument as error:
        if error.message.startswith(UNKNOWN_LABEL):
            raise
        raise _CutShort(error.message) from error


def _dtype(datatype: str, name: str) -> np.dtype[np.generic]:
    if datatype not in DATATYPES:
        raise InvalidArgument(f"warmup setting expects input '{name}' to have a data type, got 'TYPE_{datatype}'")
    return DATATYPES[datatype].dtype


def _random(dtype: np.dtype[np.generic], elements: int) -> Array:
    raw = np.random.default_rng(0).integers(0, 256, elements * dtype.itemsize, dtype=np.uint8)
    return (raw & 1).view(dtype) if dtype.kind == "b" else raw.view(dtype)


def _path(name: str, file: str, directory: Path) -> Path:
    # By name only, as for labels: a name may come from a load request. One that begins with "/" is below the folder.
    relative = os.path.normpath(f"{FOLDER}/{file}")
    if relative.split(os.sep)[0] == os.pardir:
        raise Unsupported(f"warmup file path '{file}' for input '{name}' is outside model directory")
    return directory / relative


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Internal(f"failed to open text file for read {path}: {error.strerror}") from error


def _numbers(content: bytes, dtype: np.dtype[np.generic], elements: int, file: str) -> Array:
    expected = elements * dtype.itemsize
    if len(content) < expected:
        # The missing space is the original's, and clients match on the text.
        raise InvalidArgument(
            f"{UNKNOWN_LABEL}warmup setting expects {expected} bytes, but the data provided from {file}only has "
            f"{len(content)} bytes"
        )
    return np.frombuffer(content, dtype, elements)

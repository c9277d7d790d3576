"""Warm-up: the first, slow executions happen before a version is ready (config §6.5).

Each sample becomes `batch_size` requests of batch 1, executed together on every instance, `count` times. What was
executed is reported, because the statistics of the model count it.
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
from numpy.typing import NDArray

from despina.config.datatypes import protocol_name
from despina.config.proto import Message, ModelConfig, model_config_pb2
from despina.errors import Internal, InvalidArgument, Unsupported
from despina.models.signature import Signature
from despina.protocol.datatypes import DATATYPES
from despina.protocol.messages import InferInput, InferRequest
from despina_backends.base import Array, BackendError, Batch, Instance

_log = logging.getLogger(__name__)

FOLDER = "warmup"


class WarmupExecution(NamedTuple):
    """One executed batch; times in nanoseconds, as `ModelStatistics.record_execution` takes them."""

    rows: int
    requests: int
    input_ns: int
    infer_ns: int
    output_ns: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One entry of `model_warmup`, ready to be executed. `inputs` are the tensors of one request as the model takes
    them, batch dimension included; each of `count` iterations is `runs` executions."""

    name: str
    inputs: Mapping[str, Array]
    requests: int
    batches: bool
    count: int
    runs: int = 1

    def batch(self) -> Batch:
        parts = {name: [tensor] * self.requests for name, tensor in self.inputs.items()}
        return Batch(inputs=parts, rows=self.requests if self.batches else 0)


def read_samples(config: ModelConfig, directory: Path) -> list[Sample]:
    """The samples of `config`; data files lie in `directory`/warmup. Raises Internal, Unsupported for a file elsewhere,
    and InvalidArgument: a sample has to be what clients could ask for."""
    return [_sample(config, setting, directory) for setting in config.model_warmup if setting.batch_size > 0]


def run_samples(
    model: str, samples: Iterable[Sample], instances: Sequence[tuple[str, Instance]]
) -> tuple[WarmupExecution, ...]:
    """Execute every sample on every instance; `instances` come with their names, which groups may share. Blocks. Raises
    InvalidArgument naming the samples that failed."""
    executions: list[WarmupExecution] = []
    failures: list[str] = []
    for sample in samples:
        try:
            for name, instance in instances:
                executions += _iterate(sample, instance, f"model '{model}' instance {name}")
        except BackendError as error:
            failures.append(f"failed to run warmup sample '{sample.name}': {error.message}; ")
    if failures:
        raise InvalidArgument("".join(failures))
    return tuple(executions)


def _iterate(sample: Sample, instance: Instance, where: str) -> Iterator[WarmupExecution]:
    for iteration in range(1, sample.count + 1):
        _log.debug("%s is running warmup sample '%s' for iteration %d", where, sample.name, iteration)
        for _ in range(sample.runs):
            yield _execute(sample, instance)


def _execute(sample: Sample, instance: Instance) -> WarmupExecution:
    start = time.monotonic_ns()
    execution = instance.execute(sample.batch())
    end = time.monotonic_ns()
    return WarmupExecution(
        rows=sample.requests,
        requests=sample.requests,
        input_ns=execution.input_end_ns - start,
        infer_ns=execution.infer_end_ns - execution.input_end_ns,
        output_ns=end - execution.infer_end_ns,
    )


def _sample(config: ModelConfig, setting: Message, directory: Path) -> Sample:
    batches = config.max_batch_size > 0
    if batches and setting.batch_size > config.max_batch_size:
        raise InvalidArgument(
            f"failed to run warmup sample '{setting.name}': batch size {setting.batch_size} for '{config.name}', max "
            f"allowed is {config.max_batch_size}; "
        )
    # Without a batch dimension nothing can be put together: the sample's requests run one after another.
    return Sample(
        name=setting.name,
        inputs=_inputs(config, setting, directory, batches),
        requests=setting.batch_size if batches else 1,
        batches=batches,
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
        tensor = _tensor(name, described, directory)
        if name in signature.inputs:
            request.inputs.append(InferInput(name, protocol_name(described.data_type), shape, tensor))
        else:
            others[name] = tensor.reshape(shape)
    return signature.admit(request).inputs | others


def _tensor(name: str, described: Message, directory: Path) -> Array:
    """One request's tensor, flat."""
    if any(dim < 0 for dim in described.dims):
        raise InvalidArgument(f"warmup setting expects all variable-size dimensions are specified for input '{name}'")
    elements = prod(described.dims)
    datatype = model_config_pb2.DataType.Name(described.data_type).removeprefix("TYPE_")
    kind = described.WhichOneof("input_data_type")
    if kind == "input_data_file":
        content = _read(_path(name, described.input_data_file, directory))
        return _from_file(content, datatype, elements, name, described.input_data_file)
    if kind is None:
        raise InvalidArgument(f"warmup setting expects input '{name}' to have input_data_type set")
    if datatype == "STRING":
        return np.full(elements, b"", dtype=object)
    dtype = _dtype(datatype, name)
    return _random(dtype, elements) if kind == "random_data" else np.zeros(elements, dtype)


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
        raise Internal(f"failed to open file for read {path}: {error.strerror}") from error


def _from_file(content: bytes, datatype: str, elements: int, name: str, file: str) -> Array:
    if datatype == "STRING":
        return _strings(content, elements, name, file)
    dtype = _dtype(datatype, name)
    expected = elements * dtype.itemsize
    if len(content) < expected:
        # The missing space is the original's, and clients match on the text.
        raise InvalidArgument(
            f"warmup setting expects {expected} bytes, but the data provided from {file}only has {len(content)} bytes"
        )
    return np.frombuffer(content, dtype, elements)


def _strings(content: bytes, elements: int, name: str, file: str) -> NDArray[np.object_]:
    """Elements of the protocol's BYTES format: a little-endian 32-bit length, then as many bytes."""
    result = np.full(elements, b"", dtype=object)
    offset = 0
    for index in range(elements):
        start = offset + 4
        offset = start + int.from_bytes(content[offset:start], "little")
        if start > len(content) or offset > len(content):
            raise InvalidArgument(
                f"warmup setting expects {elements} string elements for input '{name}', but the data provided from "
                f"{file} only has {index}"
            )
        result[index] = content[start:offset]
    return result

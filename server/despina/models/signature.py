"""What a model version takes and gives, precomputed from its configuration, and the admission of requests to it.

Admission is the second half of validation: names, datatypes, shapes and sizes against the model, in the order and with
the texts of the real server (protocol §2.7), which looks at the last input first. What passes is a set of arrays in the
shapes the backend takes.
"""

from collections.abc import Iterable, Mapping
from math import prod

import numpy as np

from despina.config.dims import shape_text
from despina.config.names import ENSEMBLE
from despina.config.proto import ModelConfig
from despina.errors import InvalidArgument
from despina.models.admitted import Admitted, KnownArrays, kind_of
from despina.models.raw_input import describe_raw
from despina.models.shape_refusal import shape_refusal
from despina.models.tensor_spec import TensorSpec, input_spec, output_spec
from despina.protocol import bytes_tensor
from despina.protocol.datatypes import DATATYPES, Datatype
from despina.protocol.messages import Array, InferInput, InferRequest
from despina.scheduling.batch_axis import fit_batch_axis
from despina.shared_memory.window import Window

OVERSIZE_PARAMETER = "allow_oversize_requests"

UINT32_MAX = (1 << 32) - 1

MAX_RAGGED_RANK = 31
"""Ragged inputs may have any shape, but no more dimensions than an array can have, the batch aside."""


def _name_list(names: Iterable[str]) -> str:
    return "[" + ",".join(f"'{name}'" for name in names) + "]"


class Signature:
    """Inputs and outputs of one model version."""

    def __init__(self, config: ModelConfig) -> None:
        self.model = config.name
        self.max_batch_size = max(0, config.max_batch_size)
        self._takes_oversize = takes_oversize(config)
        self.inputs: Mapping[str, TensorSpec] = {item.name: input_spec(item) for item in config.input}
        self.outputs: Mapping[str, TensorSpec] = {item.name: output_spec(item) for item in config.output}
        # The orders in which the real server's maps of outputs happen to be read.
        self.output_order = tuple(reversed(self.outputs) if config.platform == ENSEMBLE else sorted(self.outputs))
        self.required = tuple(name for name, spec in self.inputs.items() if not spec.optional)
        self.has_optional = len(self.required) != len(self.inputs)
        self._needs_shape_key = self.has_optional or any(
            spec.is_variable and not spec.ragged for spec in self.inputs.values()
        )
        self._known_arrays = KnownArrays()

    def admit(self, request: InferRequest) -> Admitted:
        """Check a decoded request against the model. Raises InvalidArgument."""
        if request.raw:
            describe_raw(request, self.model, self.inputs, batches=self.max_batch_size > 0)
        if unknown := [output.name for output in request.outputs if output.name not in self.outputs]:
            raise InvalidArgument(f"unexpected inference output '{min(unknown)}' for model '{self.model}'")
        self._check_names(request)
        rows = self._rows(request)
        arrays: dict[str, Array] = {}
        byte_size = 0
        for item in reversed(request.inputs):
            array = self._array(item, request, rows)
            arrays[item.name] = array
            byte_size += bytes_tensor.held_bytes(array)
        in_order = dict(reversed(arrays.items())) if len(arrays) > 1 else arrays
        return self._admitted(in_order, rows, byte_size)

    def admit_arrays(self, inputs: Mapping[str, Array], request_id: str = "") -> Admitted:
        """Check tensors that are arrays already, in the shapes clients would send; a batch dimension of 1 may be
        missing, or be there where the model has none. Nothing is copied. Raises InvalidArgument."""
        kind = kind_of(inputs)
        admitted = self._known_arrays.find(kind, inputs)
        if admitted is None:
            admitted = self._check_arrays(inputs, request_id)
            self._known_arrays.keep(kind, admitted)
        return admitted

    def _check_arrays(self, inputs: Mapping[str, Array], request_id: str) -> Admitted:
        fitted = {name: self._with_batch_axis(name, array) for name, array in inputs.items()}
        described = [
            InferInput(name, self._datatype_name(name, array), array.shape, array) for name, array in fitted.items()
        ]
        request = InferRequest(request_id, described)
        self._check_names(request)
        rows = self._rows(request)
        arrays = {item.name: fitted[item.name].reshape(self._full_shape(item, request, rows)) for item in described}
        byte_size = sum(map(bytes_tensor.held_bytes, arrays.values()))
        return self._admitted(arrays, rows, byte_size)

    def _admitted(self, arrays: dict[str, Array], rows: int, byte_size: int) -> Admitted:
        empty = bool(arrays and self.max_batch_size and not rows)
        counted = self.max_batch_size if empty else rows or 1
        return Admitted(arrays, counted, self.shape_key(arrays), byte_size, empty)

    def _with_batch_axis(self, name: str, array: Array) -> Array:
        spec = self.inputs.get(name)
        return array if spec is None else fit_batch_axis(array, len(spec.dims), self.max_batch_size > 0)

    def _datatype_name(self, name: str, array: Array) -> str:
        """A dtype may stand for two datatypes; the one that is asked for comes first."""
        spec = self.inputs.get(name)
        if spec is not None and spec.datatype.dtype == array.dtype:
            return spec.datatype.name
        return next((known.name for known in DATATYPES.values() if known.dtype == array.dtype), "<invalid>")

    def shape_key(self, arrays: Mapping[str, Array]) -> object:
        """What keeps these inputs out of one batch with others; None if nothing does."""
        if not self._needs_shape_key:
            return None
        skip = 1 if self.max_batch_size else 0
        return tuple(
            [
                (name, None if spec.ragged else arrays[name].shape[skip:])
                for name, spec in self.inputs.items()
                if name in arrays
            ]
        )

    def _check_names(self, request: InferRequest) -> None:
        got = [item.name for item in request.inputs]
        if not len(self.required) <= len(got) <= len(self.inputs):
            raise InvalidArgument(request.label + self._count_text(got))
        for name in reversed(got):
            if name not in self.inputs:
                raise InvalidArgument(f"unexpected inference input '{name}' for model '{self.model}'")

    def _count_text(self, got: list[str]) -> str:
        missing = [name for name in self.required if name not in got]
        expected = f"expected {len(self.inputs)} inputs but got {len(got)} inputs"
        if self.has_optional:
            bounds = f"between {len(self.required)} and {len(self.inputs)}"
            expected = f"expected number of inputs {bounds} but got {len(got)} inputs"
        return (
            f"{expected} for model '{self.model}'. Got input(s) {_name_list(got)}, but missing required input(s) "
            f"{_name_list(missing) if missing else ']'}. Please provide all required input(s)."
        )

    def _rows(self, request: InferRequest) -> int:
        """The batch size of a request, 0 for models without a batch dimension."""
        if not self.max_batch_size:
            return 0
        rows = 0
        for item in reversed(request.inputs):
            if not item.shape:
                raise InvalidArgument(
                    f"{request.label}input '{item.name}' has no shape but model requires batch dimension for "
                    f"'{self.model}'"
                )
            if rows and item.shape[0] != rows:
                raise InvalidArgument(
                    f"{request.label}input '{item.name}' batch size does not match other inputs for '{self.model}'"
                )
            rows = item.shape[0]
            if rows < 0:
                # As the real server holds it, so that it is no other input's and too many.
                rows &= UINT32_MAX
        if rows > self.max_batch_size and not self._takes_oversize:
            raise InvalidArgument(
                f"{request.label}inference request batch-size must be <= {self.max_batch_size} for '{self.model}'"
            )
        return rows

    def _array(self, item: InferInput, request: InferRequest, rows: int) -> Array:
        full_shape = self._full_shape(item, request, rows)
        # A batch of 0 rows is no batch at all to the real server: it then expects the bytes of one row.
        count = prod(full_shape) if rows or not self.max_batch_size else prod(item.shape[1:])
        array = self._read(item, self.inputs[item.name].datatype, count, request)
        try:
            return array.reshape(full_shape)
        except ValueError:
            # A batch of 0 rows that brought a row along, or no elements in a shape beyond all memory.
            raise InvalidArgument(
                f"{request.label}unexpected shape for input '{item.name}' for model '{self.model}'. Expected a shape "
                f"that {array.size} elements fill, got {shape_text(item.shape)}. "
            ) from None

    def _full_shape(self, item: InferInput, request: InferRequest, rows: int) -> tuple[int, ...]:
        """The shape the model takes an input in, after datatype and shape have been checked."""
        spec = self.inputs[item.name]
        if item.datatype != spec.datatype.name:
            got = item.datatype if item.datatype in DATATYPES else "<invalid>"
            raise InvalidArgument(
                f"{request.label}inference input '{item.name}' data-type is '{got}', but model '{self.model}' expects "
                f"'{spec.datatype.name}'"
            )
        batch = item.shape[:1] if self.max_batch_size else ()
        shape = item.shape[len(batch) :]
        refused = not spec.accepts(shape) and (not spec.ragged or len(shape) > MAX_RAGGED_RANK)
        if refused or (shape and min(shape) < 0):
            raise shape_refusal(item, spec, self.model, request.label, batches=self.max_batch_size > 0)
        return (rows, *spec.model_shape(shape)) if batch else spec.model_shape(shape)

    def _read(self, item: InferInput, datatype: Datatype, count: int, request: InferRequest) -> Array:
        data = item.data
        if isinstance(data, Window):
            if datatype.kind != "bytes" and data.byte_size != count * datatype.size:
                raise self._size_mismatch(item.name, count * datatype.size, data.byte_size, request)
            data = data.read()
            if datatype.kind == "bytes":
                # A copy: the client could change a length between two looks at it.
                return bytes_tensor.decode(data.tobytes(), count, item.name, self.model, request.label)
        if datatype.kind == "bytes":
            if isinstance(data, memoryview):
                return bytes_tensor.decode(data, count, item.name, self.model, request.label)
            return bytes_tensor.checked(list(data), count, item.name, self.model, request.label)
        if data.nbytes != count * datatype.size:
            name = "raw_input" if request.raw else item.name
            raise self._size_mismatch(name, count * datatype.size, data.nbytes, request)
        return np.frombuffer(data, datatype.dtype) if isinstance(data, memoryview) else data

    def _size_mismatch(self, name: str, expected: int, got: int, request: InferRequest) -> InvalidArgument:
        return InvalidArgument(
            f"{request.label}input byte size mismatch for input '{name}' for model '{self.model}'. "
            f"Expected {expected}, got {got}"
        )


def takes_oversize(config: ModelConfig) -> bool:
    """Whether requests may have more rows than `max_batch_size`: they are then split (`scheduling.oversize`). Raises
    InvalidArgument when the configuration says neither."""
    # Looking a key up in a map of messages would add it.
    if OVERSIZE_PARAMETER not in config.parameters:
        return False
    text = config.parameters[OVERSIZE_PARAMETER].string_value
    if text.lower() not in ("true", "false"):
        raise InvalidArgument(
            f"model '{config.name}': parameter '{OVERSIZE_PARAMETER}': expected true or false, got '{text}'"
        )
    return text.lower() == "true" and bool(config.max_batch_size > 0)

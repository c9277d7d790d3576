"""A ModelInferRequest, from what it says."""

from collections.abc import Mapping, Sequence
from typing import Any

from despina.grpc.messages import message_class

ModelInferRequest = message_class("ModelInferRequest")

Parameters = Mapping[str, Any]


def infer_message(
    inputs: Sequence[Any] = (),
    raw: Sequence[bytes] = (),
    outputs: Sequence[Any] = (),
    model: str = "m",
    request_id: str = "",
    parameters: Parameters | None = None,
) -> Any:
    """As it arrives. `inputs` are made by `tensor`, `outputs` by `output`."""
    message = ModelInferRequest(model_name=model, id=request_id, inputs=inputs, raw_input_contents=raw, outputs=outputs)
    _fill(message.parameters, parameters or {})
    return ModelInferRequest.FromString(message.SerializeToString())


def tensor(
    name: str = "x",
    datatype: str = "FP32",
    shape: Sequence[int] = (1,),
    contents: Mapping[str, Any] | None = None,
    **parameters: Any,
) -> Any:
    """An input; `contents` are lists by the names of their fields without `_contents`."""
    made = ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape)
    if contents is not None:
        made.contents.SetInParent()
        for field, elements in contents.items():
            getattr(made.contents, f"{field}_contents").extend(elements)
    _fill(made.parameters, parameters)
    return made


def output(name: str = "y", **parameters: Any) -> Any:
    """A requested output."""
    made = ModelInferRequest.InferRequestedOutputTensor(name=name)
    _fill(made.parameters, parameters)
    return made


class Uint64(int):
    """A parameter that is sent as `uint64_param`."""


class Unset:
    """A parameter without a value."""


_KINDS = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param", Uint64: "uint64_param"}


def _fill(target: Any, parameters: Parameters) -> None:
    for key, value in parameters.items():
        parameter = target[key]
        if not isinstance(value, Unset):
            setattr(parameter, _KINDS[type(value)], value)

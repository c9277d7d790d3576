"""What is wrong with the shape of an input."""

from despina.config.dims import shape_text
from despina.errors import InvalidArgument
from despina.models.tensor_spec import TensorSpec
from despina.protocol.messages import InferInput

_BATCH_NOTE = (
    "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended to each "
    "input shape. If you want to specify the full shape including the batch dim in your input dims config, try setting "
    "max_batch_size to zero. See the model configuration docs for more info on max_batch_size."
)


def shape_refusal(item: InferInput, spec: TensorSpec, model: str, label: str, *, batches: bool) -> InvalidArgument:
    """Why the shape of `item`, which begins with the batch if the model `batches`, is refused: it does not fit the
    dims, or has dimensions below 0, which gRPC can carry and which are looked at only as long as the others fit."""
    shape = item.shape[1:] if batches else item.shape
    fits = len(shape) == len(spec.dims)
    for want, got in zip(spec.dims, shape, strict=False) if fits else ():
        if got == -1:
            return InvalidArgument(
                f"{label}All input dimensions should be specified for input '{item.name}' for model '{model}', got "
                f"{shape_text(item.shape)}"
            )
        if want not in (-1, got):
            fits = False
            break
    if fits:
        where = "dimension in shape" if spec.datatype.kind == "bytes" else "dimension"
        return InvalidArgument(f"tensor '{item.name}' contains an invalid {where} {shape_text(item.shape)}")
    expected = (-1, *spec.dims) if batches else spec.dims
    return InvalidArgument(
        f"{label}unexpected shape for input '{item.name}' for model '{model}'. Expected {shape_text(expected)}, got "
        f"{shape_text(item.shape)}. " + (_BATCH_NOTE if batches else "")
    )

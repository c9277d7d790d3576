import numpy as np
import pytest
from google.protobuf import text_format

from despina.config.proto import ModelConfig
from despina.errors import InvalidArgument
from despina.models.batch_layout import BatchLayout, batch_layout, ragged_layout
from despina.scheduling.ragged import BatchInput, RaggedInstance, RaggedLayout
from despina.scheduling.shape_buckets import BuiltInput, PaddingInstance, ShapeBucket
from despina_backends.base import Batch, Execution, TensorMetadata

MODEL = {
    "ids": TensorMetadata("ids", "INT64", (-1, -1)),
    "mask": TensorMetadata("mask", "INT64", (-1, -1)),
    "len": TensorMetadata("len", "INT32", (-1,)),
    "name": TensorMetadata("name", "BYTES", (-1, -1)),
}
IDS = """
max_batch_size: 8
input { name: "ids" data_type: TYPE_INT64 dims: -1 }
input { name: "types" data_type: TYPE_FP32 dims: -1 }
output { name: "logits" data_type: TYPE_FP32 dims: [ -1, 5 ] }
output { name: "pooled" data_type: TYPE_FP32 dims: [ 5 ] }
output { name: "shaped" data_type: TYPE_FP32 dims: [ -1 ] reshape { shape: [ -1, 1 ] } }
"""


class Idle:
    def execute(self, batch: Batch) -> Execution:
        raise AssertionError

    def close(self) -> None: ...


def config(text: str, **buckets: str) -> ModelConfig:
    text += "".join(
        f'parameters {{ key: "shape_bucket.{key}" value {{ string_value: "{value}" }} }}'
        for key, value in buckets.items()
    )
    return text_format.Parse('name: "m" ' + text, ModelConfig())


def test_nearly_all_models_have_no_layout() -> None:
    layout = batch_layout(config(IDS), MODEL)
    assert layout == BatchLayout()
    instance = Idle()
    assert layout.around(instance) is instance


def test_the_layout_of_ragged_batches() -> None:
    layout = ragged_layout(
        config(
            'input { name: "v" allow_ragged_batch: true } output { name: "y" }'
            "batch_input { kind: BATCH_ITEM_SHAPE target_name: ['s', 't'] source_input: 'v' data_type: TYPE_INT32 }"
            "batch_output { target_name: 'y' source_input: 'v' }"
        )
    )
    built = [BatchInput("BATCH_ITEM_SHAPE", target, "v", np.dtype(np.int32)) for target in ("s", "t")]
    assert layout == RaggedLayout(frozenset({"v"}), tuple(built), {"y": "v"})
    assert isinstance(BatchLayout(layout).around(Idle()), RaggedInstance)


def test_a_bucket_counts_the_batch_dimension_and_finds_the_outputs() -> None:
    (bucket,) = batch_layout(
        config(IDS, **{"ids": "pad=3;sizes=4,8", "ids.mask_input": "mask", "ids.length_input": "len"}), MODEL
    ).buckets
    assert bucket == ShapeBucket(
        "ids",
        1,
        (4, 8),
        3,
        {"logits": (1,)},
        BuiltInput("len", np.dtype(np.int32), 1),
        BuiltInput("mask", np.dtype(np.int64), 2),
    )
    assert isinstance(BatchLayout(buckets=(bucket,)).around(Idle()), PaddingInstance)


def test_outputs_follow_the_first_bucket_unless_another_one_names_them() -> None:
    first, second = batch_layout(config(IDS, ids="sizes=4", types="sizes=4"), MODEL).buckets
    assert (first.outputs, second.outputs) == ({"logits": (1,)}, {})
    named = {"ids": "sizes=4", "ids.outputs": "pooled", "types": "sizes=4", "types.outputs": "logits"}
    first, second = batch_layout(config(IDS, **named), MODEL).buckets
    assert (first.outputs, second.outputs) == ({}, {"logits": (1,)})


@pytest.mark.parametrize(
    ("type_name", "pad", "value"),
    [("TYPE_FP32", "-1.5", -1.5), ("TYPE_INT64", "7", 7), ("TYPE_STRING", "x", b"x"), ("TYPE_STRING", "0", b"")],
)
def test_the_pad_value_has_the_type_of_the_input(type_name: str, pad: str, value: object) -> None:
    text = f'input {{ name: "a" data_type: {type_name} dims: -1 }}'
    (bucket,) = batch_layout(config(text, a=f"pad={pad};sizes=4"), {}).buckets
    assert bucket.pad == value
    assert bucket.axis == 0


@pytest.mark.parametrize(
    ("buckets", "message"),
    [
        ({"ids": "pad=x;sizes=4"}, "input 'ids': expected pad as a value of TYPE_INT64, got 'x'"),
        ({"ids": "sizes=4", "ids.outputs": "logitz"}, "the configuration has no output logitz"),
        ({"ids": "sizes=4", "ids.mask_input": "nope"}, "fills in 'nope': the model has no such input"),
        ({"ids": "sizes=4", "ids.mask_input": "ids"}, "fills in 'ids': remove it from the inputs"),
        ({"ids": "sizes=4", "ids.mask_input": "len"}, r"'len': expected a numeric input of 2 dimensions, got INT32"),
        ({"ids": "sizes=4", "ids.length_input": "name"}, "'name': expected a numeric input of one or more dimensions"),
    ],
)
def test_buckets_that_do_not_fit_the_model_are_refused(buckets: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        batch_layout(config(IDS, **buckets), MODEL)

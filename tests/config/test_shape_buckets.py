import pytest
from google.protobuf import text_format

from despina.config.proto import ModelConfig
from despina.config.shape_buckets import BucketSetting, built_inputs, read_shape_buckets
from despina.errors import InvalidArgument

INPUTS = """
input { name: "ids" data_type: TYPE_INT64 dims: -1 }
input { name: "audio.raw" data_type: TYPE_FP32 dims: [ -1, 80, -1 ] }
input { name: "fixed" data_type: TYPE_FP32 dims: 3 }
"""


def config(**parameters: str) -> ModelConfig:
    text = "".join(
        f'parameters {{ key: "shape_bucket.{key}" value {{ string_value: "{value}" }} }}'
        for key, value in parameters.items()
    )
    return text_format.Parse(f'name: "m" {INPUTS} {text}', ModelConfig())


def test_a_model_without_buckets() -> None:
    assert read_shape_buckets(config()) == ()
    assert built_inputs(config()) == set()


def test_a_bucket_with_all_its_settings() -> None:
    asked = config(
        **{
            "ids": "pad=7; sizes=16, 32,64",
            "ids.length_input": "len",
            "ids.mask_input": "mask",
            "ids.outputs": "logits, hidden",
        }
    )
    assert read_shape_buckets(asked) == (
        BucketSetting("ids", "7", (16, 32, 64), 0, "len", "mask", ("logits", "hidden")),
    )
    assert built_inputs(asked) == {"len", "mask"}


def test_an_input_with_several_variable_dims_says_which() -> None:
    asked = config(**{"audio.raw": "sizes=100;axis=2"})
    assert read_shape_buckets(asked) == (BucketSetting("audio.raw", "0", (100,), 2),)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"ids": "16,32"}, "shape_bucket.ids': expected pad=<value>;sizes=<sizes>, got '16,32'"),
        ({"ids": "pad=0"}, "expected sizes as ascending positive integers, got ''"),
        ({"ids": "sizes=32,16"}, "expected sizes as ascending positive integers, got '32,16'"),
        ({"ids": "sizes=0,16"}, "expected sizes as ascending positive integers"),
        ({"ids": "sizes=16,16"}, "expected sizes as ascending positive integers"),
        ({"ids": "sizes=a"}, "expected sizes as ascending positive integers"),
        ({"ids": "sizes=4;axis=1"}, r"for dims \[-1\], got axis=1"),
        ({"fixed": "sizes=4"}, r"expected axis=<index of a dim that is -1> for dims \[3\], got no axis"),
        ({"audio.raw": "sizes=4"}, r"for dims \[-1, 80, -1\], got no axis"),
        ({"idz": "sizes=4"}, "'shape_bucket.idz' names no input of the configuration, which has audio.raw, fixed, ids"),
        ({"ids.mask": "m"}, "'shape_bucket.ids.mask' names no input"),
        ({"ids.mask_input": "m"}, "parameter 'shape_bucket.ids.mask_input' needs 'shape_bucket.ids'"),
    ],
)
def test_what_makes_no_sense_is_refused(parameters: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        read_shape_buckets(config(**parameters))


@pytest.mark.parametrize("also", ["reshape { shape: [ -1, 1 ] }", "allow_ragged_batch: true"])
def test_inputs_that_are_laid_out_otherwise_have_no_buckets(also: str) -> None:
    asked = config(ids="sizes=4")
    text_format.Merge(also, asked.input[0])
    with pytest.raises(InvalidArgument, match="must have neither reshape nor allow_ragged_batch"):
        read_shape_buckets(asked)

import pytest

from despina.config.proto import ModelConfig
from despina.config.read import parse_text
from despina.config.validate_ensemble import validate_ensemble
from despina.errors import InvalidArgument


def step(reads: str, writes: str, model: str = "s") -> str:
    inputs = " ".join(f'input_map {{ key: "{name}" value: "{name}" }}' for name in reads)
    outputs = " ".join(f'output_map {{ key: "{name}" value: "{name}" }}' for name in writes)
    return f'step {{ model_name: "{model}" model_version: -1 {inputs} {outputs} }}'


def ensemble(*steps: str, inputs: str = "a", outputs: str = "z", more: str = "") -> ModelConfig:
    tensors = [f'input {{ name: "{name}" }}' for name in inputs] + [f'output {{ name: "{name}" }}' for name in outputs]
    text = f'name: "e" platform: "ensemble" {" ".join(tensors)} ensemble_scheduling {{ {" ".join(steps)} }} {more}'
    return parse_text(text)


@pytest.mark.parametrize(
    "config",
    [
        ensemble(step("a", "z")),
        ensemble(step("b", "z"), step("a", "b")),
        ensemble(step("a", "b"), step("a", "c"), step("bc", "z")),
        ensemble(step("ab", "yz"), inputs="ab", outputs="yz"),
        ensemble(step("a", "y"), step("y", "z"), outputs="yz"),
    ],
)
def test_graphs_that_flow_pass(config: ModelConfig) -> None:
    validate_ensemble(config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ensemble(), "must specify 'step' for ensemble 'e'"),
        (ensemble(step("a", "z", model="")), "must specify 'model_name' in step 0 of ensemble 'e'"),
        (ensemble(step("a", "b"), step("", "z")), "must specify 'input_map' in step 1 of ensemble 'e'"),
        (ensemble(step("a", "")), "must specify 'output_map' in step 0 of ensemble 'e'"),
        (
            ensemble(step("a", "z"), more="instance_group { count: 1 }"),
            "instance group should not be specified for ensemble 'e'",
        ),
        (
            ensemble(step("a", "z"), more="optimization { }"),
            "optimization should not be specified for ensemble 'e'",
        ),
        (
            ensemble(step("a", "z"), more='model_warmup { name: "w" }'),
            "model_warmup can not be specified for ensemble 'e'",
        ),
        (
            ensemble(step("a", "z"), step("a", "z")),
            "ensemble tensor 'z' can appear in an output map only once for ensemble 'e' step 1",
        ),
        (ensemble(step("a", "z"), inputs="ab"), "ensemble input 'b' for ensemble e' is not used"),
        (ensemble(step("a", "bz"), inputs="ab"), "ensemble input 'b' for ensemble e' is not used"),
        (ensemble(step("a", "z"), outputs="yz"), "ensemble output 'y' for ensemble e' is not used"),
        (
            ensemble(step("ab", "z")),
            "output 'z' for ensemble 'e' is not written: at least one of its depending tensors, 'b', is not connected",
        ),
        (
            ensemble(step("az", "y"), step("y", "z")),
            "output 'z' for ensemble 'e' is not written: at least one of its depending tensors, 'y', is not connected",
        ),
        (ensemble(step("a", "y"), step("z", "b")), "output 'z' for ensemble 'e' is not written"),
        (ensemble(step("a", "z"), step("a", "b")), "ensemble tensor 'b' is unused in ensemble 'e'"),
        (ensemble(step("a", "z"), step("b", "c"), step("c", "b")), "ensemble tensor 'b' is unused in ensemble 'e'"),
        (
            ModelConfig(name="e", platform="ensemble"),
            "ensemble scheduling must be set for ensemble e whose platform is ensemble",
        ),
        (
            parse_text('name: "e" backend: "onnxruntime" ensemble_scheduling { }'),
            "ensemble scheduling cannot be set for model 'e' whose platform is not ensemble",
        ),
    ],
)
def test_ensembles_that_cannot_run_are_refused(config: ModelConfig, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        validate_ensemble(config)
    assert caught.value.message == message


def test_other_models_have_no_graph_to_check() -> None:
    validate_ensemble(ModelConfig(name="m", backend="onnxruntime"))

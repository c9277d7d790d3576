import pytest
from google.protobuf import text_format

from despina.config.proto import ModelConfig
from despina.errors import InvalidArgument, NotFound, Unavailable
from despina.models.ensemble_fit import check_fit


def parse(text):
    return text_format.Parse(text, ModelConfig())


def model(name="m", tensors="", max_batch_size=8):
    tensors = tensors or (
        'input { name: "X" data_type: TYPE_FP32 dims: 2 } output { name: "Y" data_type: TYPE_FP32 dims: 2 }'
    )
    return parse(f'name: "{name}" max_batch_size: {max_batch_size} {tensors}')


def ensemble(step='input_map { key: "X" value: "in" } output_map { key: "Y" value: "out" }', dims="2", batch=8):
    return parse(
        f'name: "e" platform: "ensemble" max_batch_size: {batch} '
        f'input {{ name: "in" data_type: TYPE_FP32 dims: [ {dims} ] }} '
        'output { name: "out" data_type: TYPE_FP32 dims: 2 } '
        f'ensemble_scheduling {{ step {{ model_name: "m" model_version: -1 {step} }} }}'
    )


@pytest.mark.parametrize(
    ("config", "step_model"),
    [
        (ensemble(), model()),
        (ensemble(dims="-1"), model()),
        (ensemble(batch=4), model()),
        (
            ensemble(),
            model(
                max_batch_size=0,
                tensors='input { name: "X" data_type: TYPE_FP32 dims: [-1, 2] } '
                'input { name: "Z" data_type: TYPE_FP32 dims: 2 optional: true } '
                'output { name: "Y" data_type: TYPE_FP32 dims: [-1, 2] }',
            ),
        ),
        (ensemble(), model(max_batch_size=0)),
        (ensemble(batch=0), model()),
    ],
)
def test_ensembles_that_fit(config, step_model):
    check_fit(config, lambda name, version: {("m", None): step_model}[name, version])


@pytest.mark.parametrize(
    ("config", "step_model", "text"),
    [
        (
            ensemble(),
            model(max_batch_size=4),
            "ensemble e allows maximum batch size 8, but it contains model m which only allows maximum batch size to "
            "be 4",
        ),
        (
            ensemble(dims="3"),
            model(),
            "in ensemble e, ensemble tensor in: inconsistent shape: [-1,3] is inferred from model e while [-1,2] is "
            "inferred from model m",
        ),
        (
            ensemble(),
            model(tensors='input { name: "X" data_type: TYPE_INT32 dims: 2 }'),
            "in ensemble e, ensemble tensor in: inconsistent data type: TYPE_FP32 is inferred from model e while "
            "TYPE_INT32 is inferred from model m",
        ),
        (
            ensemble('input_map { key: "Q" value: "in" } output_map { key: "Y" value: "out" }'),
            model(),
            "in ensemble e, ensemble tensor in is mapping to non-existing input Q in model m",
        ),
        (
            ensemble('input_map { key: "X" value: "in" } output_map { key: "Q" value: "out" }'),
            model(),
            "in ensemble e, ensemble tensor out is mapped from non-existing output Q in model m",
        ),
        (
            ensemble('output_map { key: "Y" value: "out" }'),
            model(),
            "in ensemble e, input X in model m is not mapped to any ensemble tensors",
        ),
    ],
)
def test_ensembles_that_do_not_fit(config, step_model, text):
    with pytest.raises(InvalidArgument) as error:
        check_fit(config, lambda name, version: step_model)
    assert error.value.message == text


def test_answers_that_depend_on_a_sequence_are_not_to_be_cached():
    config = ensemble()
    step_model = model()
    step_model.sequence_batching.SetInParent()
    check_fit(config, lambda name, version: step_model)
    config.response_cache.enable = True
    with pytest.raises(InvalidArgument, match="Response Cache does not currently support model e with step m, which"):
        check_fit(config, lambda name, version: step_model)


def test_a_version_that_is_named_is_the_one_that_has_to_fit():
    config = ensemble()
    config.ensemble_scheduling.step[0].model_version = 3
    check_fit(config, lambda name, version: {("m", 3): model()}[name, version])


def test_steps_see_the_reshaped_tensors_of_the_ensemble():
    config = ensemble(dims="2, 1")
    config.input[0].reshape.shape.append(2)
    check_fit(config, lambda name, version: model())
    config.input[0].ClearField("reshape")
    with pytest.raises(InvalidArgument, match="inconsistent shape"):
        check_fit(config, lambda name, version: model())


@pytest.mark.parametrize("error", [NotFound("version 7"), Unavailable("version 7")], ids=["unknown", "not ready"])
def test_a_version_that_a_step_names_and_that_is_not_loaded_is_named(error):
    def config_of(name, version):
        raise error

    config = ensemble()
    config.ensemble_scheduling.step[0].model_version = 7
    with pytest.raises(InvalidArgument) as caught:
        check_fit(config, config_of)
    assert caught.value.message == "ensemble 'e' depends on 'm' whose required version 7 is not loaded."

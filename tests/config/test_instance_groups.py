import pytest

from despina.config.instance_groups import (
    Placement,
    complete_instance_groups,
    placements,
    validate_instance_groups,
)
from despina.config.proto import ModelConfig
from despina.config.read import parse_text
from despina.errors import InvalidArgument
from despina_backends.base import Device


def config(groups: str, backend: str = "onnxruntime") -> ModelConfig:
    return parse_text(f'name: "m" backend: "{backend}" {groups}')


def groups(completed: ModelConfig) -> list[tuple[str, int, int, list[int]]]:
    return [(group.name, group.kind, group.count, list(group.gpus)) for group in completed.instance_group]


GPU, CPU, MODEL = 1, 2, 3


@pytest.mark.parametrize(
    ("written", "gpus", "expected"),
    [
        ("", [], [("m", CPU, 2, [])]),
        ("", [0, 1], [("m", GPU, 1, [0, 1])]),
        ("instance_group { }", [], [("m_0", CPU, 2, [])]),
        ("instance_group { kind: KIND_CPU }", [0], [("m_0", CPU, 2, [])]),
        ("instance_group { kind: KIND_CPU count: 1 }", [], [("m_0", CPU, 1, [])]),
        ("instance_group { kind: KIND_GPU count: 3 }", [0], [("m_0", GPU, 3, [0])]),
        ("instance_group { kind: KIND_GPU gpus: 1 }", [0, 1], [("m_0", GPU, 1, [1])]),
        ("instance_group { gpus: 1 }", [0, 1], [("m_0", GPU, 1, [1])]),
        ("instance_group { gpus: 7 }", [0, 1], [("m_0", CPU, 2, [7])]),
        ("instance_group { kind: KIND_MODEL }", [0], [("m_0", MODEL, 1, [])]),
        (
            'instance_group [ { name: "a" kind: KIND_CPU count: 4 }, { kind: KIND_GPU } ]',
            [0],
            [("a", CPU, 4, []), ("m_1", GPU, 1, [0])],
        ),
    ],
)
def test_groups_are_completed(written: str, gpus: list[int], expected: list[tuple[str, int, int, list[int]]]) -> None:
    completed = complete_instance_groups(config(written), gpus)
    assert groups(completed) == expected
    assert groups(complete_instance_groups(completed, gpus)) == expected


def test_other_backends_get_one_instance_on_cpu() -> None:
    assert groups(complete_instance_groups(config("", backend="identity"), [])) == [("m", CPU, 1, [])]


def test_ensembles_have_no_instances() -> None:
    ensemble = ModelConfig(name="e", platform="ensemble")
    assert complete_instance_groups(ensemble, [0]) == ensemble
    validate_instance_groups(ensemble, [0])
    assert placements(ensemble) == []


PREFIX = "instance group m_0 of model m "


@pytest.mark.parametrize(
    ("written", "gpus", "message"),
    [
        ("instance_group { kind: KIND_CPU gpus: 0 }", [0], PREFIX + "has kind KIND_CPU but specifies one or more GPUs"),
        (
            "instance_group { kind: KIND_MODEL gpus: 0 }",
            [0],
            PREFIX + "has kind KIND_MODEL but specifies one or more GPUs",
        ),
        ("instance_group { kind: KIND_GPU }", [], PREFIX + "has kind KIND_GPU but no GPUs are available"),
        (
            "instance_group { kind: KIND_GPU gpus: 0 }",
            [],
            PREFIX + "specifies invalid or unsupported gpu id 0. GPUs with at least the minimum required CUDA compute "
            "compatibility of 6.000000 are: ",
        ),
        (
            "instance_group { kind: KIND_GPU gpus: [ 0, 5 ] }",
            [1, 0],
            PREFIX + "specifies invalid or unsupported gpu id 5. GPUs with at least the minimum required CUDA compute "
            "compatibility of 6.000000 are: 0, 1",
        ),
        (
            'instance_group { kind: KIND_CPU profile: "0" }',
            [],
            PREFIX + "and platform specifies profile field which is only supported for TensorRT models",
        ),
    ],
)
def test_groups_that_cannot_be_are_refused(written: str, gpus: list[int], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        validate_instance_groups(complete_instance_groups(config(written), gpus), gpus)
    assert caught.value.message == message


def test_minimum_compute_capability_is_named() -> None:
    with pytest.raises(InvalidArgument, match=r"compatibility of 7\.500000 are: 0$"):
        validate_instance_groups(config("instance_group { kind: KIND_GPU gpus: 2 }"), [0], 7.5)


def test_instances_are_counted_per_gpu_and_named_per_group() -> None:
    completed = complete_instance_groups(
        config(
            'instance_group [ { name: "g" kind: KIND_GPU count: 2 }, { kind: KIND_CPU count: 2 passive: true },'
            "{ kind: KIND_MODEL } ]"
        ),
        [0, 1],
    )
    assert placements(completed) == [
        Placement("g_0", Device("GPU", 0), 0),
        Placement("g_1", Device("GPU", 0), 0),
        Placement("g_0", Device("GPU", 1), 0),
        Placement("g_1", Device("GPU", 1), 0),
        Placement("m_1_0", Device("CPU"), 1, passive=True),
        Placement("m_1_1", Device("CPU"), 1, passive=True),
        Placement("m_2_0", Device("CPU"), 2),
    ]

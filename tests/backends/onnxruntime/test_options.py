from pathlib import Path
from typing import Any

import pytest

from despina_backends.base import BackendError, Device, LoadOptions
from despina_backends.onnxruntime import options as module
from despina_backends.onnxruntime.options import enough_cpu_instances, run_options, session_options
from despina_backends.onnxruntime.runtime import load_runtime

CPU = Device("CPU")


def made(device: Device = CPU, **fields: Any) -> Any:
    return session_options(load_runtime(), LoadOptions("m", Path(), **fields), device)


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (0, "ORT_ENABLE_ALL"),
        (-1, "ORT_ENABLE_BASIC"),
        (1, "ORT_ENABLE_EXTENDED"),
        (2, "ORT_DISABLE_ALL"),
        (7, "ORT_ENABLE_ALL"),
    ],
)
def test_graph_optimization_level(level: int, name: str) -> None:
    assert made(graph_optimization_level=level).graph_optimization_level.name == name


def test_parameters_are_applied_and_unknown_ones_ignored() -> None:
    parameters = {
        "intra_op_thread_count": "3",
        "inter_op_thread_count": "2",
        "execution_mode": "1",
        "enable_mem_arena": "OFF",
        "enable_mem_pattern": "0",
        "session.use_device_allocator_for_initializers": "1",
        "my_own": "note",
    }
    result = made(parameters=parameters)
    assert (result.intra_op_num_threads, result.inter_op_num_threads) == (3, 2)
    assert result.execution_mode.name == "ORT_PARALLEL"
    assert (result.enable_cpu_mem_arena, result.enable_mem_pattern) == (False, False)
    assert result.get_session_config_entry("session.use_device_allocator_for_initializers") == "1"


def test_numbers_of_threads_and_the_mode_are_read_as_tritonserver_reads_them() -> None:
    result = made(parameters={"intra_op_thread_count": "4.0", "inter_op_thread_count": " 2x", "execution_mode": "01"})
    assert (result.intra_op_num_threads, result.inter_op_num_threads) == (4, 2)
    assert result.execution_mode.name == "ORT_PARALLEL"


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        (
            {"execution_mode": "2"},
            "Invalid configuration value provided. Expected values for  execution_mode are 0 or 1 but got 2 .",
        ),
        ({"enable_mem_arena": "maybe"}, "failed to convert 'maybe' to boolean"),
        ({"intra_op_thread_count": "many"}, "failed to convert 'many' to integral number"),
        ({"execution_mode": "parallel"}, "failed to convert 'parallel' to integral number"),
    ],
)
def test_bad_parameters_are_refused(parameters: dict[str, str], text: str) -> None:
    with pytest.raises(BackendError) as caught:
        made(parameters=parameters)
    assert (caught.value.message, caught.value.code) == (text, "INVALID_ARG")


@pytest.mark.parametrize(("instances", "threads"), [(1, 8), (2, 4), (3, 2), (16, 1)])
def test_cpu_instances_share_the_usable_cores(instances: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 8)
    assert made(cpu_instance_count=instances).intra_op_num_threads == threads


def test_cores_can_be_left_to_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 8)
    assert made(cpu_instance_count=2, spare_cores=1).intra_op_num_threads == 3
    assert made(cpu_instance_count=8, spare_cores=1).intra_op_num_threads == 1


def test_idle_threads_sleep_soon() -> None:
    assert made().get_session_config_entry("session.intra_op.spin_duration_us") == "200"


@pytest.mark.parametrize(
    ("cores", "fields", "enough"),
    [
        (2, {"cpu_instances_asked": False}, 1),
        (7, {"cpu_instances_asked": False}, 1),
        (8, {"cpu_instances_asked": False}, 2),
        (64, {"cpu_instances_asked": False}, 2),
        (2, {}, 2),
        (2, {"cpu_instances_asked": False, "parameters": {"intra_op_thread_count": "1"}}, 2),
    ],
)
def test_few_cores_are_not_divided_unless_asked(
    cores: int, fields: dict[str, Any], enough: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: cores)
    assert enough_cpu_instances(LoadOptions("m", Path(), cpu_instance_count=2, **fields)) == enough


def test_gpu_sessions_have_one_thread_unless_configured() -> None:
    assert made(Device("GPU")).intra_op_num_threads == 1
    assert made(Device("GPU"), parameters={"intra_op_thread_count": "4"}).intra_op_num_threads == 4


def test_global_thread_pool_replaces_the_sessions_own(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []
    monkeypatch.setattr(module, "share_thread_pool", lambda _, intra, inter: sizes.append((intra, inter)))
    config = {"enable-global-threadpool": "1", "intra_op_thread_count": "5"}
    result = made(backend_config=config, parameters={"intra_op_thread_count": "3"})
    assert sizes == [(5, 0)]
    assert result.use_per_session_threads is False
    assert result.intra_op_num_threads == 0


def test_custom_operator_library_must_load() -> None:
    with pytest.raises(Exception, match="no_such_library"):
        made(op_library_paths=["/no_such_library.so"])


def test_arena_shrinkage_is_a_run_option() -> None:
    assert run_options(load_runtime(), LoadOptions("m", Path())) is None
    parameters = {"memory.enable_memory_arena_shrinkage": "cpu:0"}
    result = run_options(load_runtime(), LoadOptions("m", Path(), parameters=parameters))
    assert result.get_run_config_entry("memory.enable_memory_arena_shrinkage") == "cpu:0"

"""KIND_GPU means the GPU, and its answers are the CPU's."""

import ctypes
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

from despina.errors import DespinaError
from despina.models.loader import LoadedVersion, load_version
from despina.models.source import Source
from despina.settings import Settings
from despina.shared_memory.cuda import CudaDriver
from despina_backends.base import Array, Batch
from despina_backends.onnxruntime.recording import GATE, GatedInstance

pytestmark = pytest.mark.gpu

Write = Callable[..., Path]
CONV = """g (float[N,3,32,32] x) => (float[N,8,32,32] y)
    { c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w)  y = Relu(c) }"""
ON_GPU = "max_batch_size: 8 instance_group { kind: KIND_GPU count: %d gpus: 0 } dynamic_batching {}"
ON_CPU = "max_batch_size: 8 instance_group { kind: KIND_CPU count: 1 } dynamic_batching {}"


def weights() -> dict[str, Array]:
    return {"w": np.random.default_rng(0).standard_normal((8, 3, 3, 3)).astype(np.float32)}


def load(repository: Path) -> LoadedVersion:
    settings = Settings(model_repository=(repository,))
    return load_version(Source(settings).candidate("m"), 1, settings)


def images(count: int) -> list[Array]:
    rng = np.random.default_rng(count)
    return [rng.standard_normal((1, 3, 32, 32)).astype(np.float32) for _ in range(count)]


def answers(loaded: LoadedVersion, parts: list[Array], instance: int = 0) -> Array:
    batch = Batch({"x": parts}, len(parts))
    return loaded.instances[instance].instance.execute(batch).outputs["y"]


def test_outputs_equal_those_of_the_cpu_at_every_batch_size(repository: Write) -> None:
    root = repository(CONV, ON_GPU % 1, weights())
    on_gpu = load(root)
    (root / "m" / "config.pbtxt").write_text(ON_CPU)
    on_cpu = load(root)
    try:
        assert [placed.device.kind for placed in on_gpu.instances] == ["GPU"]
        assert isinstance(on_gpu.instances[0].instance, GatedInstance)
        for count in (1, 2, 5, 8, 3):
            # TF32, which is on by default, keeps 10 bits of a factor.
            np.testing.assert_allclose(
                answers(on_gpu, images(count)), answers(on_cpu, images(count)), rtol=0, atol=2e-2
            )
    finally:
        on_gpu.close()
        on_cpu.close()


def test_an_output_that_an_operator_on_the_cpu_reads_too(repository: Write) -> None:
    """Unique has no kernel for GPUs."""
    nodes = "y = Neg(x)  u = Unique <axis = 0> (y)  z = Neg(u)"
    graph = f"g (float[N,3] x) => (float[N,3] y, float[M,3] z) {{ {nodes} }}"
    loaded = load(repository(graph, ON_GPU % 1))
    try:
        for value in (3, 4):
            part = np.full((1, 3), value, np.float32)
            assert answers(loaded, [part, part]).tolist() == [[-value] * 3] * 2
    finally:
        loaded.close()


def test_a_gpu_that_is_not_there_is_refused(repository: Write) -> None:
    root = repository(CONV, "max_batch_size: 8 instance_group { kind: KIND_GPU gpus: 77 }", weights())
    with pytest.raises(DespinaError, match="specifies invalid or unsupported gpu id 77"):
        load(root)


@pytest.mark.parametrize("shared", ["true", "false"])
def test_two_instances_run_at_the_same_time(repository: Write, shared: str) -> None:
    parameter = f' parameters {{ key: "share_session" value {{ string_value: "{shared}" }} }}'
    loaded = load(repository(CONV, ON_GPU % 2 + parameter, weights()))
    wrong: list[int] = []

    def work(instance: int) -> None:
        for number in range(50):
            parts = images(1 + number % 8)
            got = answers(loaded, parts, instance)
            if not np.allclose(got, expected[len(parts)], atol=2e-2):
                wrong.append(number)

    try:
        expected = {count: answers(loaded, images(count)) for count in range(1, 9)}
        threads = [threading.Thread(target=work, args=(instance,)) for instance in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
    finally:
        loaded.close()


def test_the_first_request_of_a_warm_batch_size_is_as_fast_as_the_next(repository: Write) -> None:
    parameter = ' parameters { key: "warmup_batch_sizes" value { string_value: "1,2,3,4,5,6,7,8" } }'
    loaded = load(repository(CONV, ON_GPU % 1 + parameter, weights()))
    try:
        for count in range(1, 9):
            times: list[float] = []
            for _ in range(20):
                start = time.perf_counter()
                answers(loaded, images(count))
                times.append(time.perf_counter() - start)
            assert times[0] < 20 * median(times) + 0.01
    finally:
        loaded.close()


GRAPHS = """ optimization { execution_accelerators {
    gpu_execution_accelerator { name: "cuda" parameters { key: "enable_cuda_graph" value: "1" } } } }"""


def test_cuda_graphs_give_the_same_answers(repository: Write) -> None:
    root = repository(CONV, ON_GPU % 1, weights())
    plain = load(root)
    (root / "m" / "config.pbtxt").write_text(ON_GPU % 1 + GRAPHS)
    graphed = load(root)
    try:
        for count in (1, 2, 5, 8, 3) * 5:
            np.testing.assert_allclose(
                answers(graphed, images(count)), answers(plain, images(count)), rtol=0, atol=2e-2
            )
    finally:
        graphed.close()
        plain.close()


def test_cuda_shared_memory_is_copied_while_graphs_are_recorded(repository: Write, cudart: Any) -> None:
    root = repository(CONV, ON_GPU % 1 + GRAPHS, weights())
    driver, address, failed, done = CudaDriver(GATE.transfers), ctypes.c_void_p(), list[Exception](), threading.Event()
    assert cudart.cudaSetDevice(0) == 0
    assert cudart.cudaMalloc(ctypes.byref(address), ctypes.c_size_t(64)) == 0
    assert address.value is not None

    def copy(place: int) -> None:
        while not done.wait(0.0005):  # in which the event loop would do other things
            try:
                driver.copy_in(0, place, b"x" * 64)
                driver.copy_out(0, place, 64)
            except Exception as error:
                failed.append(error)

    copying = threading.Thread(target=copy, args=(address.value,))
    copying.start()
    try:
        for _ in range(3):
            load(root).close()
    finally:
        done.set()
        copying.join()
        cudart.cudaFree(address)
    assert failed == []

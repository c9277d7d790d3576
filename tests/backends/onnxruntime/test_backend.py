import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import pytest

from despina_backends.base import BackendError, Batch, Device, LoadOptions
from despina_backends.onnxruntime import backend as module
from despina_backends.onnxruntime import compute_capabilities, load, tensorrt, why_no_gpu
from despina_backends.onnxruntime.backend import OnnxRuntimeBackend
from despina_backends.onnxruntime.bound import BoundInstance
from despina_backends.onnxruntime.cuda_graph import GraphInstance
from despina_backends.onnxruntime.recording import GatedInstance
from despina_backends.onnxruntime.runtime import load_runtime

Write = Callable[[str], Path]
NEG = "g (float[N,2] X) => (float[N,2] Y) { Y = Neg(X) }"


class FakeRuntime:
    """ONNX Runtime's GPU package: real sessions on the CPU that claim the providers they are told to."""

    cuda_version = "13.0"

    def __init__(self, *, got: Sequence[str] | None = None, available: Sequence[str] | None = None) -> None:
        self.real = load_runtime()
        self.got = got
        self.available = available or ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")
        self.created: list[list[str]] = []
        self.devices: list[str] = []
        self.options: list[Any] = []

    def get_available_providers(self) -> Sequence[str]:
        return self.available

    def InferenceSession(  # noqa: N802
        self, path: str, options: Any, providers: Sequence[tuple[str, Mapping[str, str]]], **_: Any
    ) -> Any:
        session = self.real.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [name for name, _ in providers]
        self.created.append(names)
        self.devices.append(providers[0][1].get("device_id", "CPU"))
        self.options.append(options)
        session.get_providers = lambda: self.got or names
        return session

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def backend(self, path: Path, **fields: Any) -> OnnxRuntimeBackend:
        return OnnxRuntimeBackend(LoadOptions("m", path, **fields), cast(ModuleType, self))


def test_metadata_is_the_models(write_model: Write) -> None:
    backend = load(LoadOptions("m", write_model("g (float[N,3,K] X, string[2] S) => (float[N,3,K] Y) { Y = Neg(X) }")))
    assert [(t.name, t.datatype, t.shape) for t in backend.inputs.values()] == [
        ("X", "FP32", (-1, 3, -1)),
        ("S", "BYTES", (2,)),
    ]
    assert [(t.name, t.datatype, t.shape) for t in backend.outputs.values()] == [("Y", "FP32", (-1, 3, -1))]
    assert backend.initializers == {}


def test_directory_holds_the_model_file(write_model: Write, tmp_path: Path) -> None:
    write_model(NEG)
    assert list(load(LoadOptions("m", tmp_path)).inputs) == ["X"]


def test_missing_file_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "absent.onnx"
    with pytest.raises(BackendError) as caught:
        load(LoadOptions("m", path))
    assert (caught.value.message, caught.value.code) == (
        f"unable to find '{path}' for model instance 'm'",
        "UNAVAILABLE",
    )


def test_broken_file_gives_the_runtimes_code(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"garbage")
    with pytest.raises(BackendError, match=r"^onnx runtime error 7: Load model from .* failed:Protobuf parsing failed"):
        load(LoadOptions("m", path))
    assert capfd.readouterr().out == ""


def test_a_file_in_the_runtimes_own_format_may_have_any_name(write_model: Write, tmp_path: Path) -> None:
    runtime = load_runtime()
    options = runtime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "saved.ort")
    runtime.InferenceSession(str(write_model(NEG)), options, providers=["CPUExecutionProvider"])
    backend = load(LoadOptions("m", (tmp_path / "saved.ort").rename(tmp_path / "model.onnx")))
    result = backend.instance(Device("CPU")).execute(Batch({"X": (np.ones((1, 2), np.float32),)}, 1))
    assert result.outputs["Y"].tolist() == [[-1, -1]]


def test_first_instance_takes_over_the_session_that_was_loaded(write_model: Write) -> None:
    runtime = FakeRuntime()
    backend = runtime.backend(write_model(NEG))
    first, second = (backend.instance(Device("CPU")) for _ in range(2))
    assert len(runtime.created) == 2
    batch = Batch({"X": [np.ones((1, 2), np.float32)]}, rows=1)
    assert first.execute(batch).outputs["Y"].tolist() == second.execute(batch).outputs["Y"].tolist() == [[-1, -1]]


def test_model_for_another_gpu_is_never_loaded_on_the_first(
    write_model: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "open_cudart", lambda _: None)
    runtime = FakeRuntime()
    backend = runtime.backend(write_model(NEG), cpu_instance_count=0, first_gpu=3)
    backend.instance(Device("GPU", 3))
    assert runtime.devices == ["3"]


def test_session_that_was_loaded_waits_for_the_first_instance_on_its_device(
    write_model: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "open_cudart", lambda _: None)
    runtime = FakeRuntime()
    backend = runtime.backend(write_model(NEG), cpu_instance_count=1)
    backend.instance(Device("GPU", 0))
    backend.instance(Device("CPU"))
    assert runtime.devices == ["CPU", "0"]


def test_closed_backend_has_dropped_its_session_but_instances_live_on(write_model: Write) -> None:
    backend = load(LoadOptions("m", write_model(NEG)))
    instance = backend.instance(Device("CPU"))
    backend.close()
    batch = Batch({"X": [np.ones((1, 2), np.float32)]}, rows=1)
    assert instance.execute(batch).outputs["Y"].tolist() == [[-1, -1]]


def test_gpu_without_cuda_in_the_build_is_refused(write_model: Write) -> None:
    runtime = FakeRuntime(available=["CPUExecutionProvider"])
    with pytest.raises(BackendError) as caught:
        runtime.backend(write_model(NEG)).instance(Device("GPU", 0))
    assert caught.value.code == "UNAVAILABLE"
    assert caught.value.message == (
        "unable to load model 'm' on KIND_GPU 0: the installed ONNX Runtime has no CUDAExecutionProvider: "
        "install despina[gpu] in place of despina[cpu]"
    )


@pytest.mark.parametrize(
    ("missing", "gpus", "text"),
    [
        (("libcublas.so.13",), 0, "missing for CUDA 13.0: libcublas.so.13"),
        ((), 1, "1 GPUs are visible to a CUDA 13.0 runtime"),
        ((), 4, "check the driver's version"),
    ],
)
def test_silent_fallback_to_the_cpu_is_an_error_that_says_why(
    write_model: Write, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], gpus: int, text: str
) -> None:
    monkeypatch.setattr(module, "missing_libraries", lambda _: missing)
    monkeypatch.setattr(module, "open_cudart", lambda _: object())
    monkeypatch.setattr(module, "device_count", lambda _: gpus)
    runtime = FakeRuntime(got=["CPUExecutionProvider"])
    with pytest.raises(BackendError) as caught:
        runtime.backend(write_model(NEG)).instance(Device("GPU", 1))
    expected = "unable to load model 'm' on KIND_GPU 1: CUDAExecutionProvider did not start, ONNX Runtime would use CPU"
    assert caught.value.message.startswith(expected)
    assert text in caught.value.message


def test_tensorrt_that_did_not_start_is_an_error(write_model: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "missing_libraries", lambda _: ())
    monkeypatch.setattr(tensorrt, "missing", lambda: ("libnvinfer.so.10",))
    runtime = FakeRuntime(got=["CUDAExecutionProvider", "CPUExecutionProvider"])
    accelerators: dict[str, list[tuple[str, dict[str, str]]]] = {"GPU": [("tensorrt", {})]}
    with pytest.raises(BackendError, match="TensorrtExecutionProvider did not start") as caught:
        runtime.backend(write_model(NEG), accelerators=accelerators, cpu_instance_count=0)
    assert "missing for TensorRT: libnvinfer.so.10" in caught.value.message


def test_cuda_that_did_not_start_beside_tensorrt_is_an_error(
    write_model: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "missing_libraries", lambda _: ("libcurand.so.10",))
    runtime = FakeRuntime(got=["TensorrtExecutionProvider", "CPUExecutionProvider"])
    accelerators: dict[str, list[tuple[str, dict[str, str]]]] = {"GPU": [("tensorrt", {})]}
    with pytest.raises(BackendError, match="CUDAExecutionProvider did not start") as caught:
        runtime.backend(write_model(NEG), accelerators=accelerators, cpu_instance_count=0)
    assert "missing for CUDA 13.0: libcurand.so.10" in caught.value.message


WITH_TENSORRT: Mapping[str, Any] = {"accelerators": {"GPU": [("tensorrt", {})]}, "cpu_instance_count": 0}


def test_libraries_of_tensorrt_are_opened_before_a_session_that_wants_them_and_for_no_other(
    write_model: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = FakeRuntime()
    opened: list[int] = []
    monkeypatch.setattr(tensorrt, "preload", lambda _: opened.append(len(runtime.created)))
    path = write_model(NEG)
    runtime.backend(path, cpu_instance_count=0)
    runtime.backend(path, **WITH_TENSORRT)
    assert opened == [1]


@pytest.mark.parametrize("absent", [("libnvinfer.so.10", "libnvonnxparser.so.10"), ()])
def test_tensorrt_that_is_not_installed_is_named_where_onnx_runtime_says_something_else(
    write_model: Write, monkeypatch: pytest.MonkeyPatch, absent: tuple[str, ...]
) -> None:
    class Refusing(FakeRuntime):
        def InferenceSession(self, *_: Any, **__: Any) -> Any:  # noqa: N802
            raise RuntimeError("Please install TensorRT libraries as mentioned in the GPU requirements page")

    monkeypatch.setattr(tensorrt, "missing", lambda: absent)
    with pytest.raises(BackendError) as caught:
        Refusing().backend(write_model(NEG), **WITH_TENSORRT)
    assert caught.value.message == (
        "unable to load model 'm' on KIND_GPU 0: TensorrtExecutionProvider did not start: missing for TensorRT: "
        "libnvinfer.so.10, libnvonnxparser.so.10; they come with `pip install 'tensorrt-cu13<11'`"
        if absent
        else "onnx runtime error 6: Please install TensorRT libraries as mentioned in the GPU requirements page"
    )


def test_gpu_instance_binds_memory(write_model: Write) -> None:
    runtime = FakeRuntime()
    backend = runtime.backend(write_model(NEG), cpu_instance_count=0)
    instance = backend.instance(Device("GPU", 0))
    assert isinstance(instance, GatedInstance)
    assert isinstance(instance.inner, BoundInstance)
    assert runtime.created == [["CUDAExecutionProvider", "CPUExecutionProvider"]]
    part = np.ones((1, 2), np.float32)
    assert instance.execute(Batch({"X": [part, part]}, rows=2)).outputs["Y"].tolist() == [[-1, -1], [-1, -1]]


def test_bytes_and_bf16_together_are_refused(write_model: Write) -> None:
    graph = "g (string[N] X, bfloat16[N] B) => (string[N] Y, bfloat16[N] C) { Y = Identity(X)  C = Identity(B) }"
    with pytest.raises(BackendError) as caught:
        load(LoadOptions("m", write_model(graph))).instance(Device("CPU"))
    assert caught.value.code == "UNSUPPORTED"


def test_there_are_no_gpus_with_the_cpu_package(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = FakeRuntime(available=["CPUExecutionProvider"])
    monkeypatch.setattr("despina_backends.onnxruntime.runtime.load_runtime", lambda: runtime)
    assert compute_capabilities() == ()
    assert why_no_gpu() is None


def test_a_gpu_package_without_gpus_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "missing_libraries", lambda _: ("libcudart.so.13",))
    monkeypatch.setattr("despina_backends.onnxruntime.runtime.load_runtime", FakeRuntime)
    why = why_no_gpu()
    assert why is not None
    assert why.startswith("missing for CUDA 13.0: libcudart.so.13; ")


@pytest.mark.parametrize(("parameters", "sessions"), [({}, 3), ({"share_session": "true"}, 1)])
def test_instances_on_one_device_share_a_session_if_told_to(
    write_model: Write, parameters: Mapping[str, str], sessions: int
) -> None:
    runtime = FakeRuntime()
    backend = runtime.backend(write_model(NEG), parameters=parameters, cpu_instance_count=3)
    instances = [backend.instance(Device("CPU")) for _ in range(3)]
    assert len(runtime.created) == sessions
    instances[0].close()
    part = np.ones((1, 2), np.float32)
    assert instances[1].execute(Batch({"X": [part]}, 1)).outputs["Y"].tolist() == [[-1, -1]]


SURPRISING = "g (float[N,2] X) => (float[N,2] Y) { I = NonZero(X) Y = Neg(X) }"


@pytest.mark.parametrize(("model", "instances", "threads"), [(NEG, 1, 2), (SURPRISING, 2, 1)])
def test_few_cores_go_to_one_instance_of_a_model_without_loops(
    write_model: Write, monkeypatch: pytest.MonkeyPatch, model: str, instances: int, threads: int
) -> None:
    monkeypatch.setattr("despina_backends.onnxruntime.options.usable_cores", lambda: 2)
    runtime = FakeRuntime()
    backend = runtime.backend(write_model(model), cpu_instance_count=2, cpu_instances_asked=False)
    assert backend.cpu_instances == instances
    assert [options.intra_op_num_threads for options in runtime.options] == [threads]


def test_shared_sessions_are_one_per_device(write_model: Write) -> None:
    runtime = FakeRuntime()
    backend = runtime.backend(write_model(NEG), parameters={"share_session": "1"}, cpu_instance_count=0)
    for device in (Device("GPU", 0), Device("GPU", 1), Device("GPU", 0), Device("GPU", 1)):
        backend.instance(device)
    assert len(runtime.created) == 2


class Cudart:
    """Notes which GPU is chosen on which thread."""

    def __init__(self) -> None:
        self.chosen: list[tuple[int, bool]] = []
        """Numbers of GPUs, and whether the thread was the one of the test."""
        self._thread = threading.get_ident()

    def cudaSetDevice(self, device: int) -> int:  # noqa: N802
        self.chosen.append((device, threading.get_ident() == self._thread))
        return 0


@pytest.mark.parametrize("shared", ["true", "false"])
def test_what_is_on_a_gpu_is_freed_by_a_thread_that_has_chosen_it(
    write_model: Write, monkeypatch: pytest.MonkeyPatch, shared: str
) -> None:
    cudart = Cudart()
    monkeypatch.setattr(module, "open_cudart", lambda _: cudart)
    fields: dict[str, Any] = {"parameters": {"share_session": shared}, "cpu_instance_count": 0, "first_gpu": 3}
    backend = FakeRuntime().backend(write_model(NEG), pinned_input=False, pinned_output=False, **fields)
    instance = backend.instance(Device("GPU", 3))
    assert cudart.chosen == []
    instance.close()
    assert cudart.chosen == [(3, True)]
    backend.close()
    assert cudart.chosen[1:] == [(3, True)] * (2 if shared == "true" else 1)


def test_the_thread_of_cuda_graphs_chooses_the_gpu_of_its_instance_and_so_does_the_one_that_closes_it(
    write_model: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    cudart = Cudart()

    class OnTheCpu(GraphInstance):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named, device_type="cpu")

    monkeypatch.setattr(module, "open_cudart", lambda _: cudart)
    monkeypatch.setattr(module, "GraphInstance", OnTheCpu)
    accelerators = {"GPU": [("cuda", {"enable_cuda_graph": "1"})]}
    fields: dict[str, Any] = {"accelerators": accelerators, "cpu_instance_count": 0, "first_gpu": 3}
    backend = FakeRuntime().backend(write_model(NEG), max_batch_size=2, **fields)
    backend.instance(Device("GPU", 3)).close()
    assert cudart.chosen == [(3, False), (3, True)]


def test_cuda_graphs_and_shared_sessions_exclude_each_other(write_model: Write) -> None:
    fields: dict[str, Any] = {
        "accelerators": {"GPU": [("cuda", {"enable_cuda_graph": "1"})]},
        "parameters": {"share_session": "true"},
        "max_batch_size": 4,
        "cpu_instance_count": 0,
    }
    backend = FakeRuntime().backend(write_model(NEG), **fields)
    with pytest.raises(BackendError, match="share_session and CUDA graphs exclude each other"):
        backend.instance(Device("GPU"))

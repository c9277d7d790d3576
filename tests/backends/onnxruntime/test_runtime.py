import subprocess
import sys
from importlib import metadata

import pytest

from despina_backends.base import BackendError
from despina_backends.onnxruntime import runtime
from despina_backends.onnxruntime.runtime import (
    check_packages,
    installed_packages,
    load_runtime,
    prepare_environment,
    share_thread_pool,
)


@pytest.mark.parametrize(
    ("packages", "importable", "text"),
    [
        (set[str](), False, "ONNX Runtime is not installed: install despina[cpu], or despina[gpu] for NVIDIA GPUs"),
        ({"onnxruntime", "onnxruntime-gpu"}, True, "onnxruntime and onnxruntime-gpu are both installed"),
    ],
)
def test_none_or_two_packages_are_refused(packages: set[str], importable: bool, text: str) -> None:
    with pytest.raises(BackendError) as caught:
        check_packages(packages, importable=importable)
    assert caught.value.message.startswith(text)
    assert caught.value.code == "UNAVAILABLE"


@pytest.mark.parametrize("packages", [{"onnxruntime"}, {"onnxruntime-gpu"}, set[str]()])
def test_one_package_or_a_build_of_ones_own_is_accepted(packages: set[str]) -> None:
    check_packages(packages, importable=True)


def test_installed_packages_are_those_with_metadata() -> None:
    def version(name: str) -> str:
        if name == "onnxruntime":
            raise metadata.PackageNotFoundError(name)
        return "1.31.1"

    assert installed_packages(version) == {"onnxruntime-gpu"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"ORT_DISABLE_TELEMETRY": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}),
        (
            {"ORT_DISABLE_TELEMETRY": "0", "CUDA_DEVICE_ORDER": "FASTEST_FIRST"},
            {"ORT_DISABLE_TELEMETRY": "1", "CUDA_DEVICE_ORDER": "FASTEST_FIRST"},
        ),
        ({"DESPINA_ORT_TELEMETRY": "1"}, {"DESPINA_ORT_TELEMETRY": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}),
    ],
)
def test_telemetry_is_off_unless_asked_for(before: dict[str, str], after: dict[str, str]) -> None:
    prepare_environment(before)
    assert before == after


def test_runtime_is_loaded_once() -> None:
    assert load_runtime() is load_runtime()


def test_importing_the_package_does_not_import_onnxruntime() -> None:
    code = "import sys, despina_backends.onnxruntime; sys.exit('onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_global_thread_pool_is_set_up_once_and_a_second_size_is_refused() -> None:
    code = """
from despina_backends.base import BackendError
from despina_backends.onnxruntime.runtime import load_runtime, share_thread_pool
share_thread_pool(load_runtime(), 1, 1)
share_thread_pool(load_runtime(), 1, 1)
try:
    share_thread_pool(load_runtime(), 2, 1)
except BackendError as error:
    print(error.message)
"""
    # In a process of its own: afterwards every session would have to use the pool.
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("unable to set up the global thread pool: ")
    assert share_thread_pool.cache_info().currsize == 0


def test_two_packages_are_refused_before_anything_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "installed_packages", lambda: frozenset({"onnxruntime", "onnxruntime-gpu"}))
    monkeypatch.setattr(runtime.importlib, "import_module", None)
    with pytest.raises(BackendError, match="onnxruntime and onnxruntime-gpu are both installed"):
        load_runtime.__wrapped__()


def test_what_preloading_prints_is_not_on_the_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Runtime:
        def set_default_logger_severity(self, _severity: int) -> None:
            pass

        def preload_dlls(self) -> None:
            print("Failed to load libcublas.so.13")

    monkeypatch.setattr(runtime, "installed_packages", lambda: frozenset({"onnxruntime-gpu"}))
    monkeypatch.setattr(runtime.importlib, "import_module", lambda _: Runtime())
    load_runtime.__wrapped__()
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "Failed to load libcublas.so.13\n")

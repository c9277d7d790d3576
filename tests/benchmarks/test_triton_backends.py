from pathlib import Path

import onnxruntime
import pytest
from benchmarks.peers import PEERS
from benchmarks.peers.triton_backends import LIBRARY, VARIABLE, TritonBackends
from benchmarks.peers.tritonserver_onnxruntime import TritonServerOnnxRuntime
from benchmarks.repository import DEFAULTS, Batching
from benchmarks.server_process import NotStarted
from tests.benchmarks.test_peers import a_workload


def folder_with(folder: Path, *files: str) -> Path:
    (folder / "onnxruntime").mkdir()
    for name in files:
        (folder / "onnxruntime" / name).write_text("")
    return folder


@pytest.mark.parametrize("batching", [Batching(), DEFAULTS])
def test_the_peer_has_the_settings_that_despina_has(batching: Batching) -> None:
    peer = PEERS["tritonserver-onnxruntime"](a_workload(), batching, ("grpc",))
    assert isinstance(peer, TritonServerOnnxRuntime)
    assert (peer.batching, peer.kinds) == (batching, ("grpc",))


def test_without_a_folder_the_peer_says_what_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(NotStarted, match=r"set TRITON_BACKEND_DIRECTORY to a folder that has onnxruntime/libtriton"):
        TritonServerOnnxRuntime(a_workload(), Batching()).start()


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ((), r"expected the file .*/onnxruntime/libtriton_onnxruntime\.so, and there is none"),
        ((LIBRARY,), r"has no libonnxruntime\.so beside libtriton_onnxruntime\.so"),
        ((LIBRARY, "libonnxruntime.so.1"), r"libonnxruntime\.so\.1 is no ONNX Runtime: .*file too short"),
    ],
)
def test_a_folder_without_a_backend_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: tuple[str, ...], reason: str
) -> None:
    monkeypatch.setenv(VARIABLE, str(folder_with(tmp_path, *files)))
    with pytest.raises(NotStarted, match=reason):
        TritonBackends.named()


def test_the_version_is_what_the_runtime_beside_the_backend_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (library,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
    folder = folder_with(tmp_path, LIBRARY)
    (folder / "onnxruntime" / "libonnxruntime.so.1").symlink_to(library)
    monkeypatch.setenv(VARIABLE, str(folder))
    assert TritonBackends.named() == TritonBackends(folder, onnxruntime.__version__)

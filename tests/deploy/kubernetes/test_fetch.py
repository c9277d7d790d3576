"""The init container's work, from a home directory to an app root."""

import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from despina.deploy.blobs import Blobs
from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.home import Home
from despina.deploy.kubernetes.pod.contents import PodContents
from despina.deploy.kubernetes.pod.fetch import fetch_blobs, from_claim, from_url, lay_out
from despina.deploy.kubernetes.pod.source import pack_source
from despina.deploy.record import ModelDescription
from despina.deploy.registry import Registry
from despina.deploy.service import Mode, ScriptSpec, ServiceSpec
from despina.errors import DespinaError, NotFound, Unavailable


def registered(folder: Path) -> tuple[Registry, PodContents]:
    model = folder / "models" / "triton" / "digits" / "1"
    model.mkdir(parents=True)
    (model / "model.onnx").write_bytes(b"weights")
    (model.parent / "empty").mkdir()
    (model.parent / "labels.txt").write_text("zero\none\n")
    (folder / "home").mkdir()
    registry = Registry(Home(folder / "home"))
    record = registry.register(ModelDescription("my_digits", "Multi"), folder / "models")
    deployment = DeploymentConfig("aks", primary_key="secret", secondary_key="other secret")
    script = ScriptSpec("score.py", {"WORKER_COUNT": "2"})
    return registry, PodContents(ServiceSpec("svc", 1, Mode.MIDDLEWARE, (record.id,), deployment, script), (record,))


def test_contents_travel_as_text_without_keys(tmp_path: Path) -> None:
    _, contents = registered(tmp_path)
    text = contents.to_text()
    assert "secret" not in text
    back = PodContents.from_text(text)
    assert back.spec.script == contents.spec.script
    assert back.spec.deployment.keyed
    assert back.records[0].files == contents.records[0].files
    assert back.to_text() == text


def test_an_app_root_is_made_from_a_claim_and_the_packed_script(tmp_path: Path) -> None:
    registry, contents = registered(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "score.py").write_text("def init(): ...\n")
    blobs = Blobs(tmp_path / "pod" / "blobs")
    assert fetch_blobs(contents, blobs, from_claim(registry.blobs.root, blobs)) == 2
    assert fetch_blobs(contents, blobs, from_claim(tmp_path / "gone", blobs)) == 0
    root = tmp_path / "pod" / "app"
    assert lay_out(contents, blobs, pack_source(tmp_path / "src"), root) == []
    assert (root / "model-repository" / "digits" / "1" / "model.onnx").read_bytes() == b"weights"
    assert (root / "azureml-models/my_digits/1/models/triton/digits/labels.txt").read_text() == "zero\none\n"
    assert [path.name for path in (root / "source").iterdir()] == ["score.py"]
    assert {path.name for path in root.parent.iterdir()} == {"app", "blobs"}


def test_a_blob_that_is_not_in_the_claim_is_named(tmp_path: Path) -> None:
    _, contents = registered(tmp_path)
    blobs = Blobs(tmp_path / "pod")
    with pytest.raises(NotFound, match=r"sha256/.* is missing: copy the folder blobs/"):
        fetch_blobs(contents, blobs, from_claim(tmp_path / "empty", blobs))


def test_content_of_another_file_that_is_wanted_stays(tmp_path: Path) -> None:
    registry, contents = registered(tmp_path)
    one, other = sorted(file.sha256 for file in contents.records[0].files if file.sha256 is not None)
    blobs = Blobs(tmp_path / "pod")
    put = from_claim(registry.blobs.root, blobs)
    put(one)
    with pytest.raises(DespinaError, match=f"blob {other} is not what was registered: its SHA-256 is {one}"):
        fetch_blobs(contents, blobs, lambda _: put(one))
    assert blobs.path(one).exists()


def test_content_that_is_not_what_was_registered_is_refused(tmp_path: Path) -> None:
    registry, contents = registered(tmp_path)
    (sha256,) = (file.sha256 for file in contents.records[0].files if file.path.endswith("model.onnx"))
    assert sha256 is not None
    registry.blobs.path(sha256).chmod(0o644)
    registry.blobs.path(sha256).write_bytes(b"other weights")
    blobs = Blobs(tmp_path / "pod")
    with pytest.raises(DespinaError, match=f"blob {sha256} is not what was registered"):
        fetch_blobs(contents, blobs, from_claim(registry.blobs.root, blobs))
    assert [path.name for path in (tmp_path / "pod").rglob("*") if path.is_file()] == []


@contextmanager
def published(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            """As in a store of objects, where two slashes are not one."""
            return super().translate_path(path if "//" not in path else "/nothing")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with served(functools.partial(Quiet, directory=folder)) as url:
        yield url


@contextmanager
def served(handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_blobs_come_from_a_url_too(tmp_path: Path) -> None:
    registry, contents = registered(tmp_path)
    blobs = Blobs(tmp_path / "pod" / "blobs")
    (tmp_path / "pod").mkdir()
    with published(registry.blobs.root.parent) as url:
        address = f"{url}/{registry.blobs.root.name}/"
        assert fetch_blobs(contents, blobs, from_url(address, blobs, tmp_path / "pod")) == 2
    assert [path.name for path in (tmp_path / "pod").iterdir()] == ["blobs"]


@pytest.mark.parametrize(
    ("header", "value", "sent", "said"),
    [
        ("Content-Length", "7", b"wei", "/sha256/.*: the transfer ended 4 bytes early"),
        ("Transfer-Encoding", "chunked", b"7\r\nwei", r"/sha256/.*: IncompleteRead"),
    ],
)
def test_a_transfer_that_breaks_off_is_told_as_such_and_leaves_nothing(
    tmp_path: Path, header: str, value: str, sent: bytes, said: str
) -> None:
    _, contents = registered(tmp_path)

    class Short(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header(header, value)
            self.end_headers()
            self.wfile.write(sent)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    (tmp_path / "pod").mkdir()
    blobs = Blobs(tmp_path / "pod" / "blobs")
    with served(Short) as url, pytest.raises(Unavailable, match=said):
        fetch_blobs(contents, blobs, from_url(url, blobs, tmp_path / "pod"))
    assert list((tmp_path / "pod").iterdir()) == []


def test_a_url_without_the_blob_is_named(tmp_path: Path) -> None:
    _, contents = registered(tmp_path)
    blobs = Blobs(tmp_path / "pod")
    with published(tmp_path / "models") as url, pytest.raises(Unavailable, match=f"{url}/sha256/.*404"):
        fetch_blobs(contents, blobs, from_url(url, blobs, tmp_path))

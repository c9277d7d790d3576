"""HTTPS on the inference port, with certificates made here."""

import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tests.support.certificates import make_certificates
from tests.support.serving import REPOSITORY, free_port

from despina.cli.image_health import is_live
from despina.errors import InvalidArgument
from despina.http.tls import check_tls, tls_options
from despina.settings import Settings


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with server.pem and client.pem, which sign themselves, and their keys."""
    directory = tmp_path_factory.mktemp("keys")
    make_certificates(directory)
    return directory


@contextmanager
def serving_tls(keys: Path, flags: Sequence[str]) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "despina", "serve", f"--model-repository={REPOSITORY}", f"--http-port={port}"]
    command += ["--http-address=127.0.0.1", "--allow-metrics=false", "--allow-grpc=false"]
    command += ["--model-control-mode=explicit", "--load-model=identity_fp32_nb"]
    command += [f"--http-tls-cert={keys}/server.pem", f"--http-tls-key={keys}/server.key", *flags]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        wait_until_listening(process, port)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def wait_until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, process.communicate()[1].decode()[-2000:]
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server does not listen")


def connect(port: int, keys: Path, certificate: bool = False) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cafile=keys / "server.pem")
    if certificate:
        context.load_cert_chain(keys / "client.pem", keys / "client.key")
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=context)


def infer(connection: http.client.HTTPSConnection, values: "np.ndarray[tuple[int], np.dtype[np.float32]]") -> bytes:
    source = {"binary_data_size": values.nbytes}
    head = json.dumps(
        {
            "inputs": [{"name": "INPUT0", "shape": [values.size], "datatype": "FP32", "parameters": source}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    connection.request("POST", "/v2/models/identity_fp32_nb/infer", head + values.tobytes(), headers)
    response = connection.getresponse()
    body = response.read()
    assert response.status == 200, body
    return body[int(response.headers["Inference-Header-Content-Length"]) :]


@pytest.mark.parametrize("processes", [1, 2])
def test_small_and_large_tensors_come_back_over_one_connection(keys: Path, processes: int) -> None:
    with serving_tls(keys, [f"--http-workers={processes}"]) as port:
        connection = connect(port, keys)
        for size in (3, 1_000_000, 3, 30_000):
            values = np.arange(size, dtype=np.float32)
            assert infer(connection, values) == values.tobytes()
        connection.request("GET", "/v2/health/ready")
        assert connection.getresponse().status == 200
        connection.close()


def test_with_a_client_ca_nobody_is_heard_without_a_certificate(keys: Path) -> None:
    with serving_tls(keys, [f"--http-tls-client-ca={keys}/client.pem"]) as port:
        connection = connect(port, keys, certificate=True)
        values = np.arange(3, dtype=np.float32)
        assert infer(connection, values) == values.tobytes()
        connection.close()
        stranger = connect(port, keys)
        with pytest.raises(OSError):  # noqa: PT011 - an alert of TLS or a reset, as the race goes
            infer(stranger, values)
        stranger.close()


@pytest.mark.parametrize("client_ca", [False, True])
def test_the_check_of_the_images_asks_as_the_server_wants_to_be_asked(keys: Path, client_ca: bool) -> None:
    flags = [f"--http-tls-client-ca={keys}/client.pem"] if client_ca else []
    with serving_tls(keys, flags) as port:
        files = {"http_tls_cert": keys / "server.pem", "http_tls_client_ca": keys / "client.pem" if client_ca else None}
        settings = Settings(http_port=port, **files)  # type: ignore[arg-type]
        assert is_live(settings)
        assert not is_live(Settings(http_port=port))


def test_without_a_certificate_there_is_no_tls() -> None:
    assert tls_options(Settings()) == {}


def test_unusable_files_are_named_at_start(keys: Path, tmp_path: Path) -> None:
    missing = tmp_path / "none.pem"
    with pytest.raises(InvalidArgument, match=r"cannot use --http-tls-cert '.*none.pem': No such file or directory"):
        check_tls(Settings(http_tls_cert=missing))
    with pytest.raises(InvalidArgument, match=r"server.pem' and --http-tls-key '.*client.key': .*MISMATCH"):
        check_tls(Settings(http_tls_cert=keys / "server.pem", http_tls_key=keys / "client.key"))
    with pytest.raises(InvalidArgument, match="cannot use --http-tls-client-ca"):
        check_tls(
            Settings(
                http_tls_cert=keys / "server.pem",
                http_tls_key=keys / "server.key",
                http_tls_client_ca=missing,
            )
        )
    with pytest.raises(InvalidArgument, match="need --http-tls-cert"):
        check_tls(Settings(http_tls_client_ca=missing))

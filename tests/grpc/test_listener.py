"""The port with TLS, and clients who do not speak it."""

import asyncio
import subprocess
from pathlib import Path

import pytest
from tests.support.grpc_calls import serving_calls

from despina.grpc.listener import GrpcListener
from despina.http.listener import bind


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate that signs itself, and its key."""
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=server"]
    subprocess.run([*command, "-keyout", key, "-out", chain], check=True, capture_output=True)
    return chain, key


@pytest.mark.parametrize("sent", [b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], ids=["silent", "in the clear"])
async def test_who_does_not_speak_tls_is_no_client(certificate: tuple[Path, Path], sent: bytes) -> None:
    """Neither kept nor waited for."""
    chain, key = certificate
    files = {"grpc_server_cert": chain, "grpc_server_key": key}
    async with serving_calls(("identity_fp32",), grpc_use_ssl=True, grpc_max_connection_age=1, **files) as service:
        sock = bind("127.0.0.1", 0, False, "GRPC")
        listener = GrpcListener(service._server, sock)
        await listener.start()
        reader, writer = await asyncio.open_connection(*sock.getsockname())
        writer.write(sent)
        if sent:  # it is hung up on
            async with asyncio.timeout(10):
                await reader.read()
        async with asyncio.timeout(10):
            await listener.stop()
        writer.close()

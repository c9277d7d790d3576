"""A pod without a cluster: what its containers run, on this machine's loopback address."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from tests.support.serving import free_port, serving

from despina.deploy.blobs import Blobs
from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.gate.keys import Keys
from despina.deploy.gate.upstreams import Address, Upstreams
from despina.deploy.home import Home
from despina.deploy.kubernetes.pod.contents import PodContents
from despina.deploy.kubernetes.pod.fetch import fetch_blobs, from_claim, lay_out
from despina.deploy.kubernetes.pod.gate import GateSettings, gate_limits, neighbours, run_gate
from despina.deploy.record import ModelDescription
from despina.deploy.registry import Registry
from despina.deploy.service import Mode, ScriptSpec, ServiceSpec

ROOT = Path(__file__).parents[3]
HOST = "127.0.0.1"


async def ask(port: int, path: str, body: bytes | None = None, key: str | None = None) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection(HOST, port)
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [] if key is None else [f"Authorization: Bearer {key}"]
    lines += [] if body is None else [f"Content-Length: {len(body)}"]
    writer.write("\r\n".join([*lines, "", ""]).encode() + (body or b""))
    answer = await reader.read()
    writer.close()
    head, _, content = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), content


@asynccontextmanager
async def gate(spec: ServiceSpec, keys: Path, upstreams: Upstreams) -> AsyncIterator[tuple[int, int, asyncio.Event]]:
    """Its port, the port of its probes, and what ends it."""
    settings = GateSettings(HOST, free_port(), free_port(), unlisted_seconds=0.3, keys_seconds=0.02)
    stop = asyncio.Event()
    task = asyncio.create_task(run_gate(spec, keys, upstreams, settings, stop))
    while True:
        try:
            await ask(settings.probe_port, "/live")
            break
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
    try:
        yield settings.gate_port, settings.probe_port, stop
    finally:
        stop.set()
        await task


def write_keys(folder: Path, keys: Keys) -> Path:
    folder.mkdir(exist_ok=True)
    for name, value in keys.to_json().items():
        (folder / name).write_text(value)
    return folder


def test_a_registered_repository_answers_behind_the_gate(tmp_path: Path) -> None:
    registry = Registry(Home(tmp_path))
    record = registry.register(ModelDescription("examples", "Multi"), ROOT / "model_repository", ["digits"])
    spec = ServiceSpec("svc", 1, Mode.DIRECT, (record.id,), DeploymentConfig("aks"))
    contents = PodContents.from_text(PodContents(spec, (record,)).to_text())
    blobs = Blobs(tmp_path / "pod" / "blobs")
    fetch_blobs(contents, blobs, from_claim(registry.blobs.root, blobs))
    lay_out(contents, blobs, None, tmp_path / "pod" / "app")
    keys = write_keys(tmp_path / "keys", Keys("first", "second"))
    request = (ROOT / "model_repository" / "digits" / "example.json").read_bytes()

    async def scenario(server: int) -> None:
        upstreams = Upstreams(Address(HOST, server), None)
        async with gate(contents.spec, keys, upstreams) as (port, probes, _):
            assert (await ask(port, "/v2/health/ready"))[0] == 401
            for key in ("first", "second"):
                assert (await ask(port, "/v2/health/ready", key=key))[0] == 200
            status, answer = await ask(port, "/api/v1/service/svc/v2/models/digits/infer", request, "first")
            assert status == 200
            assert json.loads(answer)["model_name"] == "digits"
            assert await ask(probes, "/ready") == (200, b"ready\n")
            status, metrics = await ask(probes, "/metrics")
            assert b'despina_gate_requests_in_flight{service="svc"} 0\n' in metrics
            assert (await ask(probes, "/v2/models/digits/infer", request))[0] == 404

    with serving(tmp_path / "pod" / "app" / "model-repository", []) as server:
        asyncio.run(scenario(server))


@asynccontextmanager
async def upstream(hold: asyncio.Event) -> AsyncIterator[int]:
    """Answers everything with 200 as soon as `hold` is set."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await hold.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        except asyncio.IncompleteReadError:
            pass
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def scripted(**config: object) -> ServiceSpec:
    deployment = DeploymentConfig("aks", auth_enabled=False, **config)  # type: ignore[arg-type]
    return ServiceSpec("svc", 1, Mode.DEFAULT, (), deployment, ScriptSpec("score.py"))


def behind(port: int) -> Upstreams:
    """Score workers at a port."""
    return Upstreams(None, Address(HOST, port))


async def test_an_autoscaler_sees_requests_at_work_and_those_that_wait(tmp_path: Path) -> None:
    hold = asyncio.Event()
    spec = scripted(replica_max_concurrent_requests=1, max_request_wait_time=60_000)
    async with (
        upstream(hold) as port,
        gate(spec, tmp_path, behind(port)) as (front, probes, _),
    ):
        requests = [asyncio.create_task(ask(front, "/score", b"{}")) for _ in range(3)]
        wanted = b'despina_gate_requests_in_flight{service="svc"} 3\n'
        while wanted not in (metrics := (await ask(probes, "/metrics"))[1]):
            await asyncio.sleep(0.01)
        assert b'despina_gate_requests_waiting{service="svc"} 2\n' in metrics
        hold.set()
        assert [status for status, _ in await asyncio.gather(*requests)] == [200, 200, 200]


async def test_busy_score_workers_are_ready_and_absent_ones_are_not(tmp_path: Path) -> None:
    async with upstream(asyncio.Event()) as port, gate(scripted(), tmp_path, behind(port)) as (_, probes, _):
        assert (await ask(probes, "/ready"))[0] == 200
    async with gate(scripted(), tmp_path, behind(free_port())) as (_, probes, _):
        assert (await ask(probes, "/ready"))[0] == 503
        assert (await ask(probes, "/live"))[0] == 200


async def test_an_inference_server_that_does_not_answer_is_not_ready(tmp_path: Path) -> None:
    spec = ServiceSpec("svc", 1, Mode.DIRECT, (), DeploymentConfig("aks", auth_enabled=False))
    upstreams = Upstreams(Address(HOST, free_port()), None)
    async with gate(spec, tmp_path, upstreams) as (_, probes, _):
        assert (await ask(probes, "/ready"))[0] == 503
        assert (await ask(probes, "/live?from=kubelet"))[0] == 200


async def test_an_ending_pod_is_not_ready_and_still_answers(tmp_path: Path) -> None:
    hold = asyncio.Event()
    hold.set()
    async with upstream(hold) as port, gate(scripted(), tmp_path, behind(port)) as parts:
        front, probes, stop = parts
        stop.set()
        while (await ask(probes, "/ready"))[0] != 503:
            await asyncio.sleep(0.01)
        assert await ask(front, "/score", b"{}") == (200, b"ok")


async def until_it_listens_no_more(port: int) -> None:
    with suppress(ConnectionRefusedError):
        while True:
            (await asyncio.open_connection(HOST, port))[1].close()
            await asyncio.sleep(0.01)


async def test_an_ending_pod_waits_for_a_request_as_long_as_it_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("despina.deploy.kubernetes.pod.gate.DRAIN_SECONDS", 0.0)
    hold = asyncio.Event()
    spec = scripted(scoring_timeout_ms=20_000, max_request_wait_time=1)
    async with upstream(hold) as port, gate(spec, tmp_path, behind(port)) as (front, probes, stop):
        request = asyncio.create_task(ask(front, "/score", b"{}"))
        while b'despina_gate_requests_in_flight{service="svc"} 1\n' not in (await ask(probes, "/metrics"))[1]:
            await asyncio.sleep(0.01)
        stop.set()
        await until_it_listens_no_more(front)
        hold.set()
        assert await request == (200, b"ok")


def test_limits_have_a_clusters_defaults() -> None:
    limits = gate_limits(scripted())
    assert (limits.concurrent, limits.queue_seconds, limits.answer_seconds) == (None, 0.5, 60.0)
    said = scripted(replica_max_concurrent_requests=8, max_request_wait_time=250, scoring_timeout_ms=1500)
    assert gate_limits(said).answer_seconds == 1.5
    assert gate_limits(said).concurrent == 8


def test_the_mode_says_who_is_behind_the_gate() -> None:
    for mode, ports in ((Mode.DIRECT, [8000]), (Mode.MIDDLEWARE, [8000, 5001]), (Mode.DEFAULT, [5001])):
        spec = ServiceSpec("svc", 1, mode, (), DeploymentConfig("aks"))
        assert [address.port for address in neighbours(spec).addresses.values()] == ports


async def test_probe_program(tmp_path: Path) -> None:
    async def exit_status(port: int) -> int:
        words = [sys.executable, "-m", "despina.deploy.kubernetes.pod.probe", str(port), "/v2/health/ready"]
        process = await asyncio.create_subprocess_exec(*words, stderr=subprocess.DEVNULL)
        return await process.wait()

    hold = asyncio.Event()
    hold.set()
    async with upstream(hold) as port:
        assert await exit_status(port) == 0
    assert await exit_status(free_port()) == 1


async def test_new_keys_of_the_secret_open_and_the_old_ones_no_longer(tmp_path: Path) -> None:
    keys = write_keys(tmp_path / "keys", Keys("first", "second"))
    spec = ServiceSpec("svc", 1, Mode.DEFAULT, (), DeploymentConfig("aks"), ScriptSpec("score.py"))
    hold = asyncio.Event()
    hold.set()
    async with upstream(hold) as port, gate(spec, keys, behind(port)) as (front, _, _):
        assert (await ask(front, "/score", b"{}", "first"))[0] == 200
        (keys / "primaryKey").unlink()  # keys that cannot be read change nothing
        await asyncio.sleep(0.1)
        assert (await ask(front, "/score", b"{}", "first"))[0] == 200
        write_keys(keys, Keys("third\n", "second\n"))  # as an editor leaves it
        while (await ask(front, "/score", b"{}", "third"))[0] != 200:
            await asyncio.sleep(0.01)
        assert (await ask(front, "/score", b"{}", "first"))[0] == 401

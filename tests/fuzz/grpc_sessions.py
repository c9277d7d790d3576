"""Bad sessions of gRPC on connections without sockets: frames and messages that are changed, doubled, or dropped. None
may end in an exception, log an error, keep anything, or cost others their answers."""

import asyncio
import logging
import os
import random
from typing import Any, cast

import uvloop
from hpack import Encoder
from tests.fuzz.findings import Findings
from tests.fuzz.memory import Memory
from tests.fuzz.mutation import mutate_bytes
from tests.support.grpc_calls import INFER, STREAM, Calls, call_headers, prefixed, serving_calls
from tests.support.http2 import Transport
from tests.support.infer_messages import infer_message, tensor

from despina.grpc import status
from despina.grpc.http2.frames import PREFACE, Flag, Kind, frame, rst_stream, settings, window_update
from despina.grpc.method import SERVICE
from despina.grpc.service import InferenceService

MODEL = "identity_fp32"
PATHS = (*[INFER, STREAM] * 4, *(f"/{SERVICE}/{name}" for name in ("ServerLive", "ModelMetadata", "RepositoryIndex")))
METADATA: tuple[dict[str, str], ...] = ({}, {"grpc-encoding": "gzip"}, {"triton_grpc_error": "true"}, {"x": "y" * 300})
CHECKED_EVERY = 50


class _Errors(logging.Handler):
    """Takes what is logged as an error for a finding."""

    def __init__(self, findings: Findings) -> None:
        super().__init__(logging.ERROR)
        self._findings = findings

    def emit(self, record: logging.LogRecord) -> None:
        self._findings.add(f"logged: {record.getMessage()[:200]}", repr(record.exc_info).encode())


def fuzz_grpc(count: int, seed: int, findings: Findings) -> None:
    """Begin and leave `count` sessions with a server in this process."""
    errors, logger = _Errors(findings), logging.getLogger("despina")
    logger.addHandler(errors)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_fuzz(count, random.Random(seed), findings))
    logger.removeHandler(errors)


async def _fuzz(count: int, rng: random.Random, findings: Findings) -> None:
    async with serving_calls((MODEL,)) as service:
        memory, good = Memory(os.getpid()), Calls(service)
        for number in range(count):
            findings.inputs["gRPC session"] += 1
            await _try(service, PREFACE + b"".join(bad_frames(session(rng), rng)), rng, findings)
            if number % CHECKED_EVERY == 0 and (await good.call(message(5, "good"))).code != status.OK:
                findings.add("a good call is refused")
            memory.step(number, count)
        memory.check("gRPC", findings)
        await service._server.models.get(MODEL, None).drain()
        budget = service._server.body_budget
        if len(service.connections) > 1 or (budget is not None and budget.held):
            findings.add("something is left of a session")


async def _try(service: InferenceService, data: bytes, rng: random.Random, findings: Findings) -> None:
    connection, transport = service.connection(), Transport()
    connection.connection_made(cast("Any", transport))
    try:
        step = rng.choice((7, 100, 5000, len(data)))
        for at in range(0, len(data), step):
            connection.data_received(data[at : at + step])
        for _ in range(rng.randrange(3)):
            await asyncio.sleep(0)
        (transport.protocol or connection).connection_lost(None)
    except Exception as error:
        findings.add(f"a session ends in {error!r}", data)


def message(size: int, request_id: str) -> bytes:
    """A good ModelInferRequest."""
    made = infer_message([tensor("INPUT0", "FP32", [1, size])], [bytes(4 * size)], [], MODEL, request_id)
    return cast("bytes", made.SerializeToString())


def session(rng: random.Random) -> list[bytes]:
    """The frames of some calls, with messages that may be bad."""
    encoder = Encoder()
    frames = [settings({4: rng.choice((0, 10, 65_535, 1 << 20))})]
    for stream in range(1, 2 * rng.randint(1, 8), 2):
        path, metadata = rng.choice(PATHS), rng.choice(METADATA)
        block = encoder.encode(list(call_headers(path, metadata).items()))
        frames.append(frame(Kind.HEADERS, Flag.END_HEADERS, stream, block))
        frames += _data(stream, 3 if path == STREAM else 1, "grpc-encoding" in metadata, rng)
        frames += rng.choices(
            [rst_stream(stream, 8), window_update(0, 9), window_update(stream, 999)], k=rng.randrange(2)
        )
    return frames


def _data(stream: int, count: int, packed: bool, rng: random.Random) -> list[bytes]:
    messages = [message(rng.choice((1, 3, 3, 20_000)), rng.choice(("", "ab", "abc"))) for _ in range(count)]
    bad = [mutate_bytes(one, rng, 2) if rng.random() < 0.2 else one for one in messages]
    body, step = b"".join(prefixed(one, packed=packed) for one in bad), rng.choice((50, 16_384))
    pieces = [body[at : at + step] for at in range(0, len(body), step)][:40]
    return [*(frame(Kind.DATA, 0, stream, piece) for piece in pieces), frame(Kind.DATA, Flag.END_STREAM, stream)]


def bad_frames(frames: list[bytes], rng: random.Random) -> list[bytes]:
    """The same frames, changed in up to three places."""
    for _ in range(rng.randrange(4)):
        at, payload = rng.randrange(len(frames)), rng.randbytes(rng.randrange(12))
        kind = frame(rng.randrange(12), rng.randrange(256), rng.choice((0, 1, 2, 3, 99)), payload)
        frames[at:at] = rng.choice(([], [frames[at]], [mutate_bytes(frames[at], rng, 1)], [kind]))
        del frames[at + rng.randrange(2) : at + 1]
    return frames or [b""]

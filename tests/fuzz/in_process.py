"""Bad bodies straight into the exchange: decoding, admission, templates, encoding. No socket is involved.

Every body goes through twice, with the templates as they are and with none; both must answer alike.
"""

import asyncio
import json
import logging
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvloop
from tests.fuzz.corpus import MODELS, REPOSITORY, recorded, seed_bodies
from tests.fuzz.findings import Findings
from tests.fuzz.memory import Memory
from tests.fuzz.mutation import HEAVY, mutate_bytes, mutate_json, to_bytes

from despina.http.infer_exchange import InferExchange, InferReply
from despina.http.request_templates import Templates
from despina.models.model import Model
from despina.run import load_models
from despina.scheduling.clock import LoopClock
from despina.server import Server
from despina.settings import Settings

DEADLINE_S = 5.0
HEAVY_SHARE = 0.01
Body = tuple[bytes, str | None]


def fuzz_in_process(count: int, seed: int, findings: Findings) -> None:
    """Send `count` bodies to models that live in this process."""
    with quiet(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_fuzz(count, random.Random(seed), findings))


@contextmanager
def quiet() -> Iterator[None]:
    """Thousands of bad requests need no line each; whoever comes after gets the log level back."""
    logger = logging.getLogger("despina")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


async def _fuzz(count: int, rng: random.Random, findings: Findings) -> None:
    settings = Settings(
        model_repository=(REPOSITORY,), model_control_mode="explicit", load_model=MODELS, allow_metrics=False
    )
    server = Server(settings, LoopClock(asyncio.get_running_loop()))
    await load_models(server)
    seeds = good_bodies()
    memory = Memory(os.getpid())
    for number in range(count):
        name = rng.choice(list(seeds))
        body = bad_body(rng.choice(seeds[name]), rng)
        findings.inputs["in process"] += 1
        await _try(server, server.models.get(name, None), body, findings)
        memory.step(number, count)
    memory.check("in process", findings)
    await server.models.stop(10)


def good_bodies() -> dict[str, list[Body]]:
    """Infer bodies and their header lengths by model."""
    found: dict[str, list[Body]] = {name: [(body, None) for body in bodies] for name, bodies in seed_bodies().items()}
    for good in recorded():
        if good.model in MODELS and good.body:
            found.setdefault(good.model, []).append((good.body, good.header_length))
    return found


def bad_body(good: Body, rng: random.Random) -> Body:
    """A body like `good`, changed in one of many ways; now and then unchanged, so that templates are made and used."""
    body, header_length = good
    length = int(header_length) if header_length and header_length.isdigit() else len(body)
    head, blob = body[:length], body[length:]
    choice = rng.random()
    if choice < HEAVY_SHARE:
        return rng.choice(HEAVY), None
    if choice < 0.1:
        return good
    if choice < 0.6:
        try:
            head = to_bytes(mutate_json(json.loads(head), rng, rng.randint(0, 3)), rng)
        except (ValueError, RecursionError):
            head = mutate_bytes(head, rng, 1)
    elif choice < 0.9:
        head = mutate_bytes(head, rng, rng.randint(1, 4))
    if rng.random() < 0.2:
        blob = mutate_bytes(blob, rng, 1)
    if header_length is None and rng.random() < 0.9:
        return head + blob, None
    return head + blob, _header_length(len(head), rng)


def _header_length(true: int, rng: random.Random) -> str:
    if rng.random() < 0.8:
        return str(true)
    return rng.choice(["", "0", "-1", "+1", " 7", str(true + 1), str(2**31), str(2**63), "9" * 5000, "x", "1e3", "٣"])


async def _try(server: Server, model: Model, body: Body, findings: Findings) -> None:
    example = b"%s\n%s\n%s" % (model.name.encode(), str(body[1]).encode(), body[0])
    started = time.monotonic()
    kept = model.templates
    answers: list[bytes] = []
    for templates in (kept, Templates(model)):
        model.templates = templates
        reply = await answered(server, model, body)
        if reply is None:
            findings.add(f"no answer within {DEADLINE_S} s", example)
            break
        content = b"".join(bytes(memoryview(buffer).cast("B")) for buffer in reply.buffers if len(buffer))
        findings.check_answer(reply.status, content, example)
        answers.append(content)
    model.templates = kept
    if len(set(answers)) > 1:
        findings.add("a template changes the answer", example + b"\n" + b"\n".join(answers))
    took = time.monotonic() - started
    if took > 1.0:
        findings.add(f"{took:.1f} s for a body of {len(body[0])} bytes", example)


async def answered(server: Server, model: Model, body: Body) -> InferReply | None:
    """The reply to one body; None if it takes too long."""
    replies: list[InferReply] = []
    done = asyncio.Event()

    def reply(value: InferReply) -> None:
        replies.append(value)
        done.set()

    InferExchange(server, model, reply).start(memoryview(body[0]), body[1])
    try:
        async with asyncio.timeout(DEADLINE_S):
            await done.wait()
    except TimeoutError:
        return None
    return replies[0]

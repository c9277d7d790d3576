"""Bad bytes on the port of a real server.

Requests that are framed well but say nonsense share a connection and must each be answered in time. What is framed
badly gets a connection of its own; whatever comes back until it ends must be responses, and it must end in time.
"""

import json
import random
import socket

from tests.fuzz.answers import Answer, all_answers, first_answer
from tests.fuzz.corpus import MODELS, Good, raw_seeds, recorded
from tests.fuzz.findings import Findings
from tests.fuzz.framing import misframed
from tests.fuzz.in_process import bad_body
from tests.fuzz.memory import Memory
from tests.fuzz.mutation import mutate_bytes, mutate_json, to_bytes
from tests.fuzz.server import Target

DEADLINE_S = 10.0
CONTROL_SHARE = 0.12
RESTORE_EVERY = 500

_CONTROL = (
    *("/v2/repository", "/v2/systemsharedmemory", "/v2/cudasharedmemory", "/v2/trace", "/v2/logging", "/trace/setting"),
)
_FURTHER = (
    ("/v2/systemsharedmemory/region/r/register", {"key": "/despina_fuzz", "offset": 0, "byte_size": 64}),
    ("/v2/systemsharedmemory/region/r/unregister", {}),
    ("/v2/cudasharedmemory/region/r/register", {"raw_handle": {"b64": "AAAA"}, "device_id": 0, "byte_size": 64}),
    ("/v2/repository/models/digits/load", {"parameters": {"config": '{"max_batch_size": 4}'}}),
    ("/v2/repository/models/identity_fp32/load", {"parameters": {"config": '{"backend": "onnxruntime"}'}}),
    ("/v2/repository/models/identity_fp32/load", {"parameters": {"config": "{}", "file:1/model.onnx": "AAAA"}}),
    ("/v2/repository/models/mixed/unload", {"parameters": {"unload_dependents": True}}),
    ("/v2/repository/index", {"ready": True}),
    (
        "/v2/trace/setting",
        {"trace_level": ["TIMESTAMPS"], "trace_rate": "1", "trace_count": "-1", "log_frequency": "0"},
    ),
    ("/v2/models/digits/trace/setting", {"trace_level": None, "trace_rate": "7"}),
    ("/v2/logging", {"log_info": True, "log_verbose_level": 1, "log_format": "ISO8601"}),
    ("/v2/models/text_gen/generate", {"PROMPT": "a", "parameters": {"n": 1}}),
    ("/v2/models/text_gen/generate_stream", {"PROMPT": "a"}),
    ("/v1/models/digits:predict", {"instances": [[0.0] * 64]}),
)


def fuzz_port(target: Target, count: int, seed: int, findings: Findings) -> None:
    """Send `count` inputs."""
    rng = random.Random(seed)
    goods = recorded()
    control = [good for good in goods if good.method == "POST" and any(part in good.path for part in _CONTROL)]
    control += [Good("POST", path, (), json.dumps(document).encode()) for path, document in _FURTHER]
    infers = [good for good in goods if good.model in MODELS and good.body]
    # Loads take milliseconds each, and what they leave behind is not what the other requests were made for.
    harmless = [good for good in goods if "/load" not in good.path and "/unload" not in good.path]
    raw = raw_seeds()
    memory = Memory(target.process.pid)
    with Client(target.port, findings) as client:
        for number in range(count):
            choice = rng.random()
            if choice < CONTROL_SHARE:
                findings.inputs["control"] += 1
                client.framed(_bad_control(rng.choice(control), rng))
            elif choice < 0.5:
                findings.inputs["infer"] += 1
                client.framed(_bad_infer(rng.choice(infers), rng))
            else:
                findings.inputs["framing"] += 1
                client.raw(misframed(harmless, raw, rng), rng)
            if number % RESTORE_EVERY == RESTORE_EVERY - 1:
                target.restore()
            memory.step(number, count)
    target.check(findings)
    memory.check("of the server", findings)


def _bad_control(good: Good, rng: random.Random) -> Good:
    body = good.body
    if rng.random() < 0.7:
        try:
            body = to_bytes(mutate_json(json.loads(body or b"{}"), rng, rng.randint(0, 3)), rng)
        except (ValueError, RecursionError):
            body = mutate_bytes(body, rng, 2)
    else:
        body = mutate_bytes(body, rng, rng.randint(1, 4))
    return Good(good.method, good.path, good.headers, body)


def _bad_infer(good: Good, rng: random.Random) -> Good:
    body, length = bad_body((good.body, good.header_length), rng)
    headers = tuple((name, value) for name, value in good.headers if name.lower() != "inference-header-content-length")
    if length is not None and length.isascii():
        headers += (("Inference-Header-Content-Length", length),)
    return Good(good.method, good.path, headers, body)


class Client:
    """A connection that is kept, and others that are not."""

    def __init__(self, port: int, findings: Findings) -> None:
        self._port = port
        self._findings = findings
        self._socket: socket.socket | None = None

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def framed(self, good: Good) -> None:
        """Send a request and read its answer."""
        example = good.bytes
        try:
            if self._socket is None:
                self._socket = self._connect()
            self._socket.sendall(example)
            answer = self._read()
        except (OSError, ValueError) as error:
            self._findings.add(f"no answer: {type(error).__name__} {error}", example)
            self._close()
            return
        self._check(answer, example)
        if answer.headers.get("connection") == "close":
            self._close()

    def raw(self, data: bytes, rng: random.Random) -> None:
        """Send bytes on a connection of their own, in one piece or several, and hang up: at once or after reading."""
        received = b""
        try:
            with self._connect() as sock:
                cut = rng.choice((len(data), len(data), rng.randrange(len(data) + 1)))
                sock.sendall(data[:cut])
                if rng.random() < 0.1:
                    return
                sock.sendall(data[cut:])
                sock.shutdown(socket.SHUT_WR)
                while piece := sock.recv(1 << 16):
                    received += piece
        except (ConnectionResetError, BrokenPipeError):
            # A server that has said what is wrong need not read on.
            pass
        except OSError as error:
            if getattr(error, "errno", None) is None:
                self._findings.add(f"the connection does not end: {type(error).__name__}", data)
        self._check_all(received, data)

    def _check_all(self, received: bytes, example: bytes) -> None:
        if b"HEAD " in example:
            # Which of the answers has no body cannot be told.
            return
        try:
            for answer in all_answers(received):
                self._check(answer, example)
        except (ValueError, KeyError) as error:
            self._findings.add(f"not a response: {type(error).__name__}", example + b"\n--> " + received)

    def _check(self, answer: Answer, example: bytes) -> None:
        if answer.status == 100:
            return
        self._findings.check_answer(answer.status, answer.body, example, empty_allowed=b"/health/" in example)

    def _read(self) -> Answer:
        assert self._socket is not None
        received = b""
        while True:
            piece = self._socket.recv(1 << 20)
            if not piece:
                raise ValueError(f"the connection was closed after {received[:100]!r}")
            received += piece
            answer = first_answer(received)
            if answer is not None and answer.status >= 200:
                return answer

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), timeout=DEADLINE_S)

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

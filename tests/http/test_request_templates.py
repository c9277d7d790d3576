"""Templates are a short cut: whatever is sent, the answers are those of the full way."""

import asyncio
import gc
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import onnx
import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from tests.support.serving import REPOSITORY

from despina.errors import DespinaError
from despina.http.infer_exchange import InferExchange, InferReply
from despina.http.reply_kind import ReplyKind
from despina.http.request_templates import MAX_FIXED_BYTES, KnownRequest, RequestTemplate, Templates
from despina.models.model import Model
from despina.protocol.json import encode_string
from despina.protocol.messages import InferRequest
from despina.protocol.plain_texts import PlainTexts
from despina.run import load_models
from despina.scheduling.clock import LoopClock
from despina.scheduling.pending import Pending
from despina.server import Server
from despina.settings import Settings

DIGITS = Path(__file__).parents[2] / "model_repository" / "digits"

IDENTITY = """
backend: "identity"
max_batch_size: 4
parameters {{ key: "input" value {{ string_value: "A,B" }} }}
parameters {{ key: "output" value {{ string_value: "X,Y" }} }}
parameters {{ key: "datatype" value {{ string_value: "{datatype}" }} }}
"""

Body = tuple[bytes, str | None]

Answer = tuple[int, bytes, int, object]
"""Status, content, length of its JSON, and what the scheduler was told of the request besides its tensors."""


class WatchedExchange(InferExchange):
    """Keeps what the scheduler was told."""

    __slots__ = ("byte_size", "submitted")

    submitted: object
    byte_size: int

    def _done(self, pending: Pending) -> None:
        self.byte_size = pending.byte_size
        self.submitted = (
            pending.id,
            (type(pending.correlation_id), pending.correlation_id, pending.sequence_start, pending.sequence_end),
            dict(pending.parameters),
            (pending.priority, pending.timeout_us, pending.outputs, pending.rows),
            pending.byte_size,
        )
        super()._done(pending)


class EagerTemplates(Templates):
    """Keep the first request of a kind, by its text alone."""

    def _comes_again(self, fixed: tuple[bytes, ...]) -> bool:
        return True

    def _keep_description(self, template: RequestTemplate, pieces: tuple[bytes, ...]) -> None:
        """Not at all."""


class Descriptions(Templates):
    """Keep the first request of a kind by what it says of its inputs and outputs, and none by its text."""

    def _comes_again(self, fixed: tuple[bytes, ...]) -> bool:
        return not fixed[0].startswith(b"{")


class NoTemplates(Templates):
    """Know nothing, of replies neither."""

    def reply_kind(self, request: InferRequest) -> ReplyKind | None:
        return None


class Exchanges:
    """A server in this process, without a port."""

    def __init__(self, repository: Path) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._server = self._runner.run(self._start(repository))
        self.byte_size = 0
        """What the inputs of the last request take."""
        self.repeats = False
        """Whether one that begins like the last request need not be looked at further than its tensors."""

    async def _start(self, repository: Path) -> Server:
        clock = LoopClock(asyncio.get_running_loop())
        server = Server(Settings(model_repository=(repository,), allow_metrics=False), clock)
        await load_models(server)
        return server

    def close(self) -> None:
        self._runner.run(self._server.models.stop(10))
        self._runner.close()

    def answers(
        self,
        model: str,
        bodies: list[Body],
        keep: bool,
        stateful: bool = False,
        templates: type[Templates] = EagerTemplates,
    ) -> list[Answer]:
        """The answers to `bodies`, one after the other; unless `keep`, each meets templates that know nothing, and is
        encoded in full. With it, one that begins like an earlier one goes the way of those."""
        return self._runner.run(self._answers(model, bodies, keep, partial(templates, stateful=stateful)))

    async def _answers(
        self, name: str, bodies: list[Body], keep: bool, make_templates: Callable[[Model], Templates]
    ) -> list[Answer]:
        model = self._server.models.get(name, None)
        model.templates = make_templates(model)
        found: list[Answer] = []
        known: dict[tuple[int, str | None], RequestTemplate] = {}
        for body, header_length in bodies:
            if not keep:
                model.templates = NoTemplates(model)
            replied: asyncio.Future[InferReply] = asyncio.get_running_loop().create_future()
            exchange = WatchedExchange(self._server, model, replied.set_result)
            exchange.submitted, exchange.byte_size = None, 0
            last = known.get((len(body), header_length)) if keep else None
            if last is None or not begins_like(exchange, last, body):
                template = exchange.start(memoryview(body), header_length)
                self.repeats = template is not None
                if template is not None:
                    known[len(body), header_length] = template
            async with asyncio.timeout(10):
                reply = await replied
            assert exchange.pending is None  # they would hold each other
            content = b"".join(bytes(memoryview(piece).cast("B")) for piece in reply.buffers if len(piece))
            self.byte_size = exchange.byte_size
            found.append((reply.status, content, reply.header_length, exchange.submitted))
        return found

    def find(self, model: str, body: bytes) -> KnownRequest | None:
        found: KnownRequest | None = self._server.models.get(model, None).templates.find_json(memoryview(body))
        return found

    def find_binary(self, model: str, body: bytes, length: int) -> KnownRequest | None:
        templates: Templates = self._server.models.get(model, None).templates
        return templates.find_binary(memoryview(body), length)

    def is_known(self, model: str, body: bytes, length: int | None = None) -> bool:
        found = self.find(model, body) if length is None else self.find_binary(model, body, length)
        return found is not None


@pytest.fixture(scope="module")
def exchanges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchanges]:
    repository = tmp_path_factory.mktemp("repository")
    (repository / "digits").symlink_to(DIGITS)
    for name in ("reshape_io", "identity_fp32"):
        (repository / f"onnx_{name}").mkdir()
        for entry in ("1", "config.pbtxt"):
            source = REPOSITORY / name / entry
            target = repository / f"onnx_{name}" / entry
            if entry == "1":
                target.symlink_to(source)
            else:
                target.write_text(source.read_text().replace(f'name: "{name}"', f'name: "onnx_{name}"'))
    for datatype in ("FP32", "INT32", "BOOL", "BYTES", "FP16"):
        model = repository / f"identity_{datatype.lower()}"
        (model / "1").mkdir(parents=True)
        (model / "config.pbtxt").write_text(IDENTITY.format(datatype=datatype))
    for name, inputs in (("onnx_bytes", "AB"), ("onnx_text", "A")):
        texts = repository / name
        (texts / "1").mkdir(parents=True)
        onnx.save(model_of_texts(inputs), texts / "1" / "model.onnx")
        (texts / "config.pbtxt").write_text('platform: "onnxruntime_onnx"\nmax_batch_size: 4\n')
    running = Exchanges(repository)
    yield running
    running.close()


def model_of_texts(inputs: str) -> onnx.ModelProto:
    """Gives back its inputs, as ONNX Runtime does, which takes text."""
    described = {
        name: helper.make_tensor_value_info(name, TensorProto.STRING, ["batch", f"length of {name}"]) for name in "ABXY"
    }
    outputs = "XY"[: len(inputs)]
    nodes = [helper.make_node("Identity", [name], [output]) for name, output in zip(inputs, outputs, strict=True)]
    tensors = [[described[name] for name in names] for names in (inputs, outputs)]
    graph = helper.make_graph(nodes, "texts", *tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def begins_like(exchange: InferExchange, last: RequestTemplate, body: bytes) -> bool:
    """Whether `body` begins like an earlier request and was taken up as one."""
    return body.startswith(last.fixed[0]) and exchange.start_like(last, body, len(last.fixed[0]))


MODELS = {
    "digits": ("FP32", (("image", 64),), ("probabilities",)),
    "identity_fp32": ("FP32", (("A", 2), ("B", 3)), ("X", "Y")),
    "identity_int32": ("INT32", (("A", 2), ("B", 3)), ("X", "Y")),
    "identity_bool": ("BOOL", (("A", 2), ("B", 3)), ("X", "Y")),
    "identity_bytes": ("BYTES", (("A", 2), ("B", 3)), ("X", "Y")),
    "onnx_bytes": ("BYTES", (("A", 2), ("B", 3)), ("X", "Y")),
    "onnx_text": ("BYTES", (("A", 2),), ("X",)),
    "identity_fp16": ("FP16", (("A", 2), ("B", 3)), ("X", "Y")),
}

IDS = ['"7"', '"7"', '"number eight"', '""', '"\udcff"', '"\u00e9"', '"a\\"b"', '"\\n"', '"\t"', '"/"', "7", "null"]

ODD_TEXTS = ['"]"', '"],["', '"\\"data\\":[1]"', '"\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', "7", "null", '"id"']
ODD_ELEMENTS = [b"", b"\0", b"\xff", "\u00e9".encode(), b"\xed\xa0\x80", b'"', b"x" * 300]

SEQUENCE_IDS = ["5", "17", "17", "0", "-1", "18446744073709551616", "05", "5.0", "true", "null"]
SEQUENCE_IDS += ['"five"', '"a b"', '""', '"\\u0061"', '"\u00e9"', '"5"', f'"{"x" * 128}"', f'"{"x" * 129}"']

NUMBERS = {"FP32": "<f4", "INT32": "<i4", "BOOL": "?", "FP16": "<f2"}


@st.composite
def texts_of_data(draw: st.DrawFn, datatype: str, size: int) -> str:
    """The JSON of `size` elements, flat or nested, sometimes wrong."""
    few = min(size, 3)
    if datatype == "BYTES":
        likely = st.text(max_size=2).map(json.dumps)
        odd = st.sampled_from(ODD_TEXTS)
        elements = draw(st.lists(st.one_of(likely, likely, likely, odd), min_size=few, max_size=few))
    else:
        odd = st.sampled_from(["3.5", "1e3", "-0", "NaN", "Infinity", "1e39", "99999999999999999999"])
        likely = st.sampled_from(["true", "false"]) if datatype == "BOOL" else st.integers(-9, 9).map(str)
        elements = draw(st.lists(st.one_of(likely, likely, likely, odd), min_size=few, max_size=few))
    elements = [elements[number % few] for number in range(size)]
    comma = draw(st.sampled_from([",", ", ", " ,\n"]))
    flat, rest = comma.join(elements), comma.join(elements[1:])
    good = [f"[{flat}]", f"[[{flat}]]", f"[ [{flat}] ]", f"[[{elements[0]}],{rest}]", f"[[{elements[0]},[{rest}]]]"]
    bad = [f"[{flat},1]", f'[{flat},"x"]', f"[{flat}", "[]", "[[1,[2]]", "7", "null", f"[{flat}],3]", f"[[{flat}]]]"]
    return draw(st.sampled_from([*good, *good, *bad]))


@st.composite
def json_structures(draw: st.DrawFn, model: str) -> str:
    """An infer request as text, put together by hand so that keys can be there twice and in any place. `@2@` stands for
    an array of two elements."""
    datatype, inputs, outputs = MODELS[model]
    entries: list[str] = []
    for name, size in inputs:
        key = draw(st.sampled_from(['"data":', '"data":', '"data":', '"data": ', '"data" :', '"d\\u0061ta":']))
        fields = [f'"name":"{name}"', f'"shape":[1,{size}]', f'"datatype":"{datatype}"', f"{key}@{size}@"]
        extra = [f'"data":@{size}@', '"name":"A"', '"datatype":"FP32"', f'"\\"data":@{size}@', '"parameters":{}']
        fields += draw(st.lists(st.sampled_from(extra), max_size=draw(st.sampled_from([0, 0, 0, 2]))))
        entries.append("{" + ",".join(draw(st.permutations(fields)) if draw(st.booleans()) else fields) + "}")
    members = [f'"inputs":[{",".join(entries)}]']
    wanted = draw(st.sampled_from([(), (), outputs[:1], outputs]))
    binary = draw(st.sampled_from(["false", "true"]))
    if wanted:
        listed = ",".join(f'{{"name":"{name}","parameters":{{"binary_data":{binary}}}}}' for name in wanted)
        members.append(f'"outputs":[{listed}]')
    further = ['"id":#', '"x":{"data":@2@}', '"y":{"data":@3@}', '"z":"\\"data\\":[1]"', '"outputs":[]', '"x":NaN']
    further += ['"parameters":{"binary_data_output":true}', '"parameters":{"timeout":1}', '"x":"\u00e9"']
    further += ['"parameters":{"sequence_id":$}', '"parameters":{"sequence_id": $,"sequence_start":true}']
    further += ['"x":"\x7f"', '"x":"\\u007f"', '"x":"\\""', '"x":["y"]', '"x":1,"x":2']
    further += ['"parameters":{"sequence_id":$,"sequence_id":3}', '"x":{"sequence_id":$}', '"parameters":{"mine":1}']
    members += draw(st.lists(st.sampled_from(further), max_size=draw(st.sampled_from([0, 0, 1, 3]))))
    begins = draw(st.sampled_from(["", "", '"id":#,', '"id": #,', '"id":#,"\\u0069d":#,']))
    begins += draw(st.sampled_from(["", "", "", '"parameters":{"sequence_id":$,"sequence_end":true},']))
    return "{" + begins + ",".join(draw(st.permutations(members))) + "}"


@st.composite
def json_bodies(draw: st.DrawFn, model: str) -> list[Body]:
    """Requests that differ in their data only."""
    pieces = draw(json_structures(model)).split("@")
    bodies: list[Body] = []
    for _ in range(draw(st.integers(1, 3))):
        filled = [
            draw(texts_of_data(MODELS[model][0], int(piece))) if odd % 2 else piece for odd, piece in enumerate(pieces)
        ]
        text = "".join(filled)
        while "#" in text:
            text = text.replace("#", draw(st.sampled_from(IDS)), 1)
        while "$" in text:
            text = text.replace("$", draw(st.sampled_from(SEQUENCE_IDS)), 1)
        bodies.append((encode_string(text), None))
    return bodies


@st.composite
def binary_bodies(draw: st.DrawFn, model: str) -> list[Body]:
    """Two infer requests, or the same one twice, with their tensors, or some of them, behind the JSON."""
    return [draw(binary_body(model)) for _ in range(2)]


@st.composite
def binary_body(draw: st.DrawFn, model: str) -> Body:
    datatype, inputs, _ = MODELS[model]
    entries: list[dict[str, Any]] = []
    blob = b""
    for name, size in inputs:
        values = draw(st.lists(st.integers(-5, 5), min_size=size, max_size=size))
        if datatype == "BYTES":
            texts = [str(value).encode() if value > -5 else draw(st.sampled_from(ODD_ELEMENTS)) for value in values]
            data = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
        else:
            data = np.array(values, NUMBERS[datatype]).tobytes()
        data = data[: draw(st.sampled_from([None, None, None, None, -1]))]
        entry: dict[str, Any] = {"name": name, "shape": [1, size], "datatype": datatype}
        if draw(st.integers(0, 5)):
            entry["parameters"] = {"binary_data_size": len(data)}
            blob += data
        else:
            entry["data"] = values
        entries.append(entry)
    document: dict[str, Any] = {"inputs": entries}
    if draw(st.booleans()):
        document = {"id": draw(st.sampled_from(["7", "number eight", "", "\u00e9", '"'])), **document}
    if draw(st.booleans()):
        document["parameters"] = {"binary_data_output": True}
    if draw(st.booleans()):
        sequence_id = draw(st.sampled_from([5, 17, 17, 0, "five", "", 1 << 64]))
        document["parameters"] = {"sequence_id": sequence_id, "mine": draw(st.sampled_from(["a", 1]))}
    head = json.dumps(document).encode()
    return head + blob + draw(st.sampled_from([b"", b"", b"", b"x"])), str(len(head))


@st.composite
def sequences(draw: st.DrawFn) -> tuple[str, list[Body]]:
    """A model and requests to it, in any order."""
    model = draw(st.sampled_from(list(MODELS)))
    groups = draw(
        st.lists(st.one_of(json_bodies(model), json_bodies(model), binary_bodies(model)), min_size=1, max_size=3)
    )
    return model, draw(st.permutations([body for group in groups for body in group]))


@given(sequences(), st.booleans())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("templates", [EagerTemplates, Descriptions])
def test_templates_change_no_answer(
    exchanges: Exchanges, templates: type[Templates], sequence: tuple[str, list[Body]], stateful: bool
) -> None:
    model, bodies = sequence
    full = exchanges.answers(model, bodies, keep=False)
    assert exchanges.answers(model, bodies, keep=True, stateful=stateful, templates=templates) == full


ONE = '{"name":"A","shape":[1,2],"datatype":"INT32",%s},{"name":"B","shape":[1,3],"datatype":"INT32",%s}'


def two_inputs(first: str, second: str, before: str = "") -> bytes:
    return encode_string(f'{{{before}"inputs":[' + ONE % (first, second) + "]}")


BINARY_HEAD = two_inputs('"parameters":{"binary_data_size":8}', '"parameters":{"binary_data_size":12}')


def test_a_request_that_was_seen_before_is_known(exchanges: Exchanges) -> None:
    exchanges.answers("identity_int32", [(two_inputs('"data":[1,2]', '"data":[[1,2,3]]'), None)], keep=True)
    assert exchanges.is_known("identity_int32", two_inputs('"data":[8,9]', '"data":[7,7,7]'))
    assert not exchanges.is_known("identity_int32", two_inputs('"data":[8,9,1]', '"data":[7,7,7]'))


def test_what_a_connection_remembers_of_a_request_does_not_keep_the_model(exchanges: Exchanges) -> None:
    body = two_inputs('"data":[1,2]', '"data":[1,2,3]')
    exchanges.answers("identity_int32", [(body, None)] * 2, keep=True)
    found = exchanges.find("identity_int32", body)
    assert found is not None
    assert found.template.reply is not None
    held = gc.get_referents(found.template, found.template.reply)
    assert not any(isinstance(item, Model) for item in held)


@pytest.mark.parametrize("times", [1, 2])
def test_a_kind_is_kept_when_it_is_new(exchanges: Exchanges, times: int) -> None:
    text, tensors = two_inputs('"data":[1,2]', '"data":[1,2,3]'), BINARY_HEAD + bytes(20)
    exchanges.answers("identity_int32", [(text, None)] * times, keep=True, templates=Templates)
    assert exchanges.is_known("identity_int32", text) is (times > 1)
    exchanges.answers("identity_int32", [(tensors, str(len(BINARY_HEAD)))] * times, keep=True, templates=Templates)
    assert exchanges.is_known("identity_int32", tensors, len(BINARY_HEAD)) is (times > 1)


SOMETHING_NEW = [
    '"x":"new {}",',
    '"x":["new {}",{{"deep\\n":null}}],',
    '"parameters":{{"mine":"new {}"}},',
    '"parameters":{{"priority":{}}},',
    '"parameters":{{"sequence_id":5,"mine":"new {}"}},',
    '"parameters":{{"sequence_id":5,"sequence_start":true,"sequence_end":true,"mine":{}}},',
    '"x":1,"id":"new {}",',
    '"id":"new","x":{},',
]


@pytest.mark.parametrize("new", SOMETHING_NEW)
@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("stateful", [False, True])
def test_a_request_with_something_new_is_known_by_what_it_says_of_its_tensors(
    exchanges: Exchanges, new: str, binary: bool, stateful: bool
) -> None:
    data = ('"parameters":{"binary_data_size":8}', '"parameters":{"binary_data_size":12}')
    if not binary:
        data = ('"data":[1,2]', '"data":[[1,2,3]]')
    heads = [two_inputs(*data, new.format(number)) for number in range(4)]
    tensors = bytes(20) if binary else b""
    bodies: list[Body] = [(head + tensors, str(len(head)) if binary else None) for head in heads]
    answers = exchanges.answers("identity_int32", bodies, keep=True, stateful=stateful, templates=Templates)
    assert answers == exchanges.answers("identity_int32", bodies, keep=False)
    exchanges.answers("identity_int32", bodies[:2], keep=True, stateful=stateful, templates=Templates)
    length = len(heads[2]) if binary else None
    assert exchanges.is_known("identity_int32", bodies[2][0], length)
    assert not exchanges.is_known("identity_int32", bodies[3][0] + b"]", length)


def test_what_cannot_be_kept_by_its_text_is_known_by_what_it_says(exchanges: Exchanges) -> None:
    body = two_inputs('"data":[1,2]', '"data":[1,2,3]', f'"x":"{"x" * MAX_FIXED_BYTES}",')
    exchanges.answers("identity_int32", [(body, None)] * 2, keep=True, templates=Templates)
    assert [exchanges.is_known("identity_int32", body) for _ in range(4)] == [True, True, True, True]


@pytest.mark.parametrize("told", ["", '"id":"7",', '"parameters":{"sequence_id":7,"mine":1},'])
@pytest.mark.parametrize("stateful", [False, True])
def test_what_is_known_by_what_it_says_is_known_by_its_text_from_the_second_time_on(
    exchanges: Exchanges, told: str, stateful: bool
) -> None:
    first, body = [two_inputs('"data":[1,2]', '"data":[1,2,3]', f'{told}"x":{number},') for number in (1, 2)]
    bodies: list[Body] = [(text, None) for text in (first, first, body, body, body)]
    answers = exchanges.answers("identity_int32", bodies, keep=True, stateful=stateful, templates=Templates)
    assert answers == exchanges.answers("identity_int32", bodies, keep=False)
    exchanges.answers("identity_int32", bodies[:3], keep=True, stateful=stateful, templates=Templates)
    found = [exchanges.find("identity_int32", body) for _ in range(2)]
    assert [request.template.fixed != () for request in found if request is not None] == [False, True]
    again = exchanges.find("identity_int32", body.replace(b"7", b"8"))
    assert again is not None
    assert again.request.parameters == ({"mine": 1} if "mine" in told else {})


def test_only_so_many_descriptions_are_kept(exchanges: Exchanges, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("despina.http.request_templates.MAX_TEMPLATES", 2)
    bodies = [two_inputs(f'"x":{number},"data":[1,2]', '"data":[1,2,3]') for number in range(3)]
    exchanges.answers("identity_int32", [(body, None) for body in bodies], keep=True, templates=Descriptions)
    assert [exchanges.is_known("identity_int32", body) for body in bodies] == [False, False, True]


def test_what_is_said_at_length_is_not_kept(exchanges: Exchanges) -> None:
    body = two_inputs(f'"x":"{"x" * MAX_FIXED_BYTES}","data":[1,2]', '"data":[1,2,3]')
    exchanges.answers("identity_int32", [(body, None)], keep=True, templates=Descriptions)
    assert not exchanges.is_known("identity_int32", body)


@pytest.mark.parametrize("told", ['"id":"%s",', '"x":1,"id":"%s",', '"x":1,"parameters":{"mine":"%s"},'])
def test_what_is_kept_does_not_hold_what_one_request_alone_says(exchanges: Exchanges, told: str) -> None:
    size = 10 * MAX_FIXED_BYTES if told.startswith('"id"') else MAX_FIXED_BYTES
    body = two_inputs('"data":[1,2]', '"data":[1,2,3]', told % ("x" * size))
    exchanges.answers("identity_int32", [(body, None)] * 2, keep=True, templates=Templates)
    found = exchanges.find("identity_int32", body.replace(b"x" * size, b"x"))
    assert found is not None
    kept = found.template.request
    assert (kept.id, kept.parameters, kept.inputs) == ("", {}, [])


def test_what_is_said_at_length_is_decoded_once(exchanges: Exchanges, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it would take its description, or its text, to know it the next time."""
    long = "x" * (MAX_FIXED_BYTES + 1)
    in_an_entry = two_inputs(f'"x":"{long}","data":[1,2]', '"data":[1,2,3]')
    beside_them = two_inputs('"data":[1,2]', '"data":[1,2,3]', f'"x":"{2 * long}",')
    looked_at: list[object] = []
    monkeypatch.setattr("despina.http.request_templates.holds_the_inputs", looked_at.append)
    for body in (in_an_entry, beside_them):
        answers = exchanges.answers("identity_int32", [(body, None)] * 3, keep=True, templates=Templates)
        assert [answer[0] for answer in answers] == [200] * 3
    assert not looked_at


def test_binary_texts_are_not_prepared_for_what_does_not_know_them(
    exchanges: Exchanges, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [binary_texts([b"a", b"b"], [b"c", b"d", b"e"], before=f'"x":{number},') for number in range(4)]
    looked_at: list[object] = []
    monkeypatch.setattr("despina.http.request_templates.holds_the_sizes", looked_at.append)
    answers = exchanges.answers("identity_bytes", bodies, keep=True, templates=Templates)
    assert [answer[0] for answer in answers] == [200] * 4
    assert not looked_at


def test_what_is_known_by_what_it_says_has_its_tensors_where_it_says(exchanges: Exchanges) -> None:
    """Behind the JSON, or not at all."""
    behind: Body = (BINARY_HEAD + bytes(20), str(len(BINARY_HEAD)))
    bodies = [behind, behind, (BINARY_HEAD, None)]
    full = exchanges.answers("identity_int32", bodies, keep=False)
    assert [answer[0] for answer in full] == [200, 200, 400]
    assert exchanges.answers("identity_int32", bodies, keep=True, templates=Descriptions) == full


@pytest.mark.parametrize(
    "asked",
    ['"outputs":[{"name":"OUTPUT0","parameters":{"binary_data":true}}]', '"parameters":{"binary_data_output":true}'],
)
def test_a_request_that_is_known_by_what_it_says_gets_the_outputs_that_it_asks_for(
    exchanges: Exchanges, asked: str
) -> None:
    """Where the reply is encoded in full."""
    tensor = '{"name":"INPUT0","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}'
    text = f'{{"x":%d,"inputs":[{tensor}],{asked}}}'
    bodies: list[Body] = [((text % number).encode(), None) for number in range(4)]
    full = exchanges.answers("onnx_reshape_io", bodies, keep=False)
    assert [answer[0] for answer in full] == [200] * 4
    assert all(answer[2] for answer in full)
    assert exchanges.answers("onnx_reshape_io", bodies, keep=True, templates=Templates) == full


def test_a_request_is_known_after_one_that_begins_and_ends_the_same_way(exchanges: Exchanges) -> None:
    one = two_inputs('"data":[1,2]', '"data":[1,2,3]')
    other = one[:-1] + b',"outputs":[{"name":"X"}]}'
    exchanges.answers("identity_int32", [(one, None), (other, None), (one, None)], keep=True)
    assert exchanges.is_known("identity_int32", one)
    assert exchanges.is_known("identity_int32", other)


def test_a_request_that_only_begins_otherwise_is_not_known(exchanges: Exchanges) -> None:
    one = two_inputs('"data":[1,2]', '"data":[1,2,3]')
    exchanges.answers("identity_int32", [(one, None), (one, None)], keep=True)
    assert exchanges.is_known("identity_int32", one)
    assert not exchanges.is_known("identity_int32", one.replace(b'"name":"A"', b'"name":"C"'))


@pytest.mark.parametrize(("space", "known"), [("", True), (" ", True), ("  ", False)])
def test_requests_that_differ_in_their_ids_are_one_kind(exchanges: Exchanges, space: str, known: bool) -> None:
    data = '"data":[1,2]', '"data":[1,2,3]'
    one, other, none = (two_inputs(*data, f'"id":{space}{text},' if text else "") for text in ('"1"', '"two"', ""))
    exchanges.answers("identity_int32", [(one, None)], keep=True)
    assert exchanges.is_known("identity_int32", other) is known
    assert not exchanges.is_known("identity_int32", none)
    answers = exchanges.answers("identity_int32", [(one, None), (other, None)], keep=True)
    assert [json.loads(content).get("id") for _, content, _, _ in answers] == ["1", "two"]


@pytest.mark.parametrize(("sequence_id", "known"), [("17", True), ('"17"', False), ("18446744073709551615", False)])
@pytest.mark.parametrize("stateful", [True, False])
def test_requests_of_different_sequences_are_one_kind(
    exchanges: Exchanges, stateful: bool, sequence_id: str, known: bool
) -> None:
    data = '"data":[1,2]', '"data":[1,2,3]'
    one, other = (
        two_inputs(*data, f'"parameters":{{"sequence_id":{text},"sequence_start":true}},')
        for text in ("5", sequence_id)
    )
    exchanges.answers("identity_int32", [(one, None)], keep=True, stateful=stateful)
    assert exchanges.is_known("identity_int32", one)
    assert exchanges.is_known("identity_int32", other) is (known and stateful)
    bodies: list[Body] = [(one, None), (one, None), (other, None)]
    kept = exchanges.answers("identity_int32", bodies, keep=True, stateful=stateful)
    assert kept == exchanges.answers("identity_int32", bodies, keep=False)


@pytest.mark.parametrize("again", ['"sequence_id":6', '"\\u0073equence_id":6'])
def test_a_sequence_id_that_is_told_twice_is_not_cut_out(exchanges: Exchanges, again: str) -> None:
    body = two_inputs('"data":[1,2]', '"data":[1,2,3]', f'"parameters":{{"sequence_id":5,{again}}},')
    exchanges.answers("identity_int32", [(body, None)], keep=True, stateful=True)
    assert not exchanges.is_known("identity_int32", body)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('"parameters":{"sequence_id":5,"sequence_id":5},', '"parameters":{"sequence_id":6,"sequence_id":5},'),
        (
            '"parameters":{"sequence_id":5,"\\u0073equence_id":5},',
            '"parameters":{"sequence_id":6,"\\u0073equence_id":5},',
        ),
        ('"x":{"sequence_id":5},', '"x":{"sequence_id":6},'),
        ('"parameters":{"sequence_id":5},', '"parameters":{"sequence_id":},'),
        ('"parameters":{"sequence_id":5},', '"parameters":{"sequence_id":6.0},'),
        ('"parameters":{"sequence_id":"a"},', f'"parameters":{{"sequence_id":"{"x" * 129}"}},'),
    ],
)
def test_a_sequence_id_is_read_as_in_the_full_way(exchanges: Exchanges, first: str, second: str) -> None:
    bodies: list[Body] = [(two_inputs('"data":[1,2]', '"data":[1,2,3]', before), None) for before in (first, second)]
    kept = exchanges.answers("identity_int32", bodies, keep=True, stateful=True)
    assert kept == exchanges.answers("identity_int32", bodies, keep=False)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # An id that is told twice: which one counts must not be forgotten.
        (
            two_inputs('"data":[1,2]', '"data":[1,2,3]', '"id":"a","id":"a",'),
            two_inputs('"data":[1,2]', '"data":[1,2,3]', '"id":"b","id":"a",'),
        ),
        (
            two_inputs('"data":[1,2]', '"data":[1,2,3]', '"id":"a","\\u0069d":"a",'),
            two_inputs('"data":[1,2]', '"data":[1,2,3]', '"id":"b","\\u0069d":"a",'),
        ),
        # "data" of something else, while that of the inputs is written in another way.
        (
            two_inputs('"data" :[1,2]', '"data" :[1,2,3]', '"x":{"data":[5,6]},"y":{"data":[5,6,7]},'),
            two_inputs('"data" :[1,2]', '"data" :[1,2,3]', '"x":{"data":[8,8]},"y":{"data":[8,8,8]},'),
        ),
        # A piece that ends too early; the rest of it fits another piece that does not.
        (two_inputs('"data":[[1,[2]]]', '"data":[[1,[2]],3]'), two_inputs('"data":[[1,[2]]]', '"data":[1,2,3],3]')),
        # The first of two equal keys counts; which one that was must not depend on the data.
        (
            two_inputs('"data":[1,2]', '"data":[1,2,3]', '"x":NaN,"x":1,'),
            two_inputs('"data":[3,4]', '"data":[5,6,7]', '"x":NaN,"x":1,'),
        ),
    ],
)
def test_what_only_looks_like_a_request_that_was_seen(exchanges: Exchanges, first: bytes, second: bytes) -> None:
    bodies: list[Body] = [(first, None), (first, None), (second, None)]
    assert exchanges.answers("identity_int32", bodies, keep=True) == exchanges.answers(
        "identity_int32", bodies, keep=False
    )


CLASSES = '"outputs":[{"name":"X","parameters":{"classification":1}},{"name":"Y"}],'

MIXED = '"outputs":[{"name":"X","parameters":{"binary_data":true}},{"name":"Y"}],'

NOTHING = b'{"inputs":[{"name":"INPUT0","shape":[0,0],"datatype":"FP32",%b}]}'


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("identity_int32", two_inputs('"data":[1,2]', '"data":[1,2,3]', CLASSES)),
        ("identity_int32", two_inputs('"data":[1,2]', '"data":[1,2,3]')[:-1] + b',"id":"last"}'),
        ("identity_int32", two_inputs('"data":[1,2]', '"data":[1,2,3]', MIXED)),
        ("onnx_identity_fp32", NOTHING % b'"data":[]'),
        (
            "onnx_reshape_io",
            b'{"inputs":[{"name":"INPUT0","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]}',
        ),
        (
            "onnx_reshape_io",
            b'{"parameters":{"binary_data_output":true},'
            b'"inputs":[{"name":"INPUT0","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]}',
        ),
    ],
)
def test_a_request_whose_reply_is_more_than_data_is_answered_alike_each_time(
    exchanges: Exchanges, model: str, body: bytes
) -> None:
    full = exchanges.answers(model, [(body, None), (body, None)], keep=False)
    assert full[0][0] == 200, full
    assert exchanges.answers(model, [(body, None), (body, None)], keep=True) == full


@pytest.mark.parametrize("data", [b'"data":[]', b'"parameters":{"binary_data_size":0}'])
def test_tensors_without_rows_are_not_kept(exchanges: Exchanges, data: bytes) -> None:
    body = NOTHING % data
    first, second = exchanges.answers("onnx_identity_fp32", [(body, str(len(body)))] * 2, keep=True)
    assert first[0] == 200, first
    assert first == second
    assert not exchanges.is_known("onnx_identity_fp32", body)


def test_what_is_very_long_is_not_kept(exchanges: Exchanges) -> None:
    body = two_inputs('"data":[1,2]', '"data":[1,2,3]', f'"x":"{"x" * MAX_FIXED_BYTES}",')
    ((status, _, _, _),) = exchanges.answers("identity_int32", [(body, None)], keep=True)
    assert status == 200
    assert not exchanges.is_known("identity_int32", body)


@pytest.mark.parametrize("spelled", IDS)
def test_an_id_is_read_as_in_the_full_way(exchanges: Exchanges, spelled: str) -> None:
    data = '"data":[1,2]', '"data":[1,2,3]'
    bodies: list[Body] = [(two_inputs(*data, f'"id":{text},'), None) for text in ('"1"', '"1"', spelled, spelled)]
    kept, full = [exchanges.answers("identity_int32", bodies, keep) for keep in (True, False)]
    assert kept == full


@pytest.mark.parametrize(("model", "kind"), [("identity_bytes", bytes), ("onnx_bytes", str)])
def test_texts_are_read_as_the_model_takes_them(exchanges: Exchanges, model: str, kind: type) -> None:
    body = two_inputs('"data":["1","2"]', '"data":["1","2","3"]').replace(b"INT32", b"BYTES")
    answers = exchanges.answers(model, [(body, None)] * 2, keep=True)
    assert [answer[0] for answer in answers] == [200, 200]
    found = exchanges.find(model, body.replace(b'"3"', b'"]\\u00e9"'))
    assert found is not None
    assert [type(element) for array in found.inputs.values() for element in array.ravel().tolist()] == [kind] * 5
    assert found.inputs["B"].shape == (1, 3)


def binary_texts(*inputs: list[bytes], before: str = "", binary: str = "true") -> Body:
    data = [b"".join(len(text).to_bytes(4, "little") + text for text in texts) for texts in inputs]
    entries = [
        f'{{"name":"{name}","shape":[1,{len(texts)}],"datatype":"BYTES",'
        f'"parameters":{{"binary_data_size":{len(tensor)}}}}}'
        for name, texts, tensor in zip("AB", inputs, data, strict=False)
    ]
    text = f'{{{before}"inputs":[{",".join(entries)}],"parameters":{{"binary_data_output":{binary}}}}}'
    return text.encode() + b"".join(data), str(len(text))


@pytest.mark.parametrize("model", ["identity_bytes", "onnx_bytes"])
@pytest.mark.parametrize("binary", ["true", "false"])
def test_texts_of_any_length_are_one_kind_of_binary_request(exchanges: Exchanges, model: str, binary: str) -> None:
    first = binary_texts([b"a", b"b"], [b"c", b"d", b"e"], binary=binary)
    second = binary_texts([b"longer", b""], ["\u00e9".encode(), b"x" * 300, b"z"], before='"id":"7",', binary=binary)
    known = binary_texts([b"12", b"345"], [b"", b"", b""], binary=binary)
    others = [first, second, known, binary_texts([b"\xff", b"b"], [b"c", b"d", b"e"], binary=binary)]
    full, kept = [exchanges.answers(model, others, keep) for keep in (False, True)]
    assert kept == full
    assert exchanges.is_known(model, known[0], int(known[1] or 0))


@pytest.mark.parametrize("size", ['"binary_data_size":', '"binary_data_size": '])
@pytest.mark.parametrize("binary", ["true", "false"])
def test_requests_that_differ_in_the_size_of_their_only_texts_are_like_the_last_one(
    exchanges: Exchanges, size: str, binary: str
) -> None:
    texts = ([b"a", b"b"], [b"longer", b""], [b"x" * 300, b"y"], [b"\xff", b"z"], [b"\xc3\xa9", b"c"], [b"a", b"b"])
    before = ["", "", '"id":"7",', "", '"id":"8",', ""]
    bodies: list[Body] = []
    for each, first in zip(texts, before, strict=True):
        body, length = binary_texts(each, before=first, binary=binary)
        assert length is not None
        text = body[: int(length)].replace(b'"binary_data_size":', size.encode())
        bodies.append((text + body[int(length) :], str(len(text))))
    bodies.append((bodies[0][0] + b"x", bodies[0][1]))
    full, kept = [exchanges.answers("onnx_text", bodies, keep) for keep in (False, True)]
    assert kept == full
    assert [answer[0] for answer in full] == [200] * 6 + [400]
    assert exchanges.is_known("onnx_text", bodies[0][0], int(bodies[0][1] or 0))


@pytest.mark.parametrize("model", ["identity_bytes", "onnx_bytes"])
@pytest.mark.parametrize("binary", ["true", "false"])
def test_what_is_around_the_texts_of_replies_is_written_once(exchanges: Exchanges, model: str, binary: str) -> None:
    body, header_length = binary_texts([b"a", b"b"], [b"c", b"d", b"e"], binary=binary)
    exchanges.answers(model, [(body, header_length)] * 2, keep=True)
    found = exchanges.find_binary(model, body, int(header_length or 0))
    assert found is not None
    assert found.template.reply is not None
    assert list(found.template.reply.frames) == [((1, 2), (1, 3))]


@pytest.mark.parametrize(
    ("model", "body", "repeats"),
    [
        ("identity_int32", (two_inputs('"data":[1,2]', '"data":[1,2,3]'), None), True),
        ("identity_int32", (two_inputs('"data":[1,2]', '"data":[1,2,3]', '"id":"1",'), None), False),
        ("identity_int32", (BINARY_HEAD + bytes(20), str(len(BINARY_HEAD))), True),
        (
            "onnx_bytes",
            (two_inputs('"data":["a","b"]', '"data":["c","d","e"]').replace(b"INT32", b"BYTES"), None),
            True,
        ),
        ("onnx_bytes", binary_texts([b"a", b"b"], [b"c", b"d", b"e"]), False),
    ],
)
def test_what_differs_in_nothing_but_tensors_repeats(
    exchanges: Exchanges, model: str, body: Body, repeats: bool
) -> None:
    assert [answer[0] for answer in exchanges.answers(model, [body] * 2, keep=True)] == [200] * 2
    assert exchanges.repeats is repeats


@pytest.mark.parametrize("model", ["identity_bytes", "onnx_bytes"])
def test_texts_of_known_requests_take_what_they_took_the_first_time(exchanges: Exchanges, model: str) -> None:
    bodies = [binary_texts([text, b"b"], [b"c", b"d", b"e"]) for text in (b"a", b"x" * 1000)]
    sizes: list[int] = []
    for keep in (False, True):
        exchanges.answers(model, bodies, keep)
        sizes.append(exchanges.byte_size)
    assert exchanges.is_known(model, bodies[1][0], int(bodies[1][1] or 0))
    assert sizes[0] == sizes[1] > 1000


@pytest.mark.parametrize(
    ("before", "binary"), [('"x":{"binary_data_size":7},', "true"), ("", 'true,"binary_data_size":7')]
)
def test_a_size_of_nothing_is_none_of_an_input(exchanges: Exchanges, before: str, binary: str) -> None:
    texts = (b"e", b"longer", b"")
    bodies = [binary_texts([b"a", b"b"], [b"c", b"d", text], before=before, binary=binary) for text in texts]
    kept, full = [exchanges.answers("onnx_bytes", bodies, keep) for keep in (True, False)]
    assert kept == full
    assert [answer[0] for answer in full] == [200] * 3


def test_a_binary_request_that_was_seen_before_needs_its_tensors(exchanges: Exchanges) -> None:
    bodies: list[Body] = [(BINARY_HEAD + bytes(20), str(len(BINARY_HEAD))), (BINARY_HEAD, None)]
    kept, full = [exchanges.answers("identity_int32", bodies, keep) for keep in (True, False)]
    assert kept == full
    assert [answer[0] for answer in full] == [200, 400]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"binary_data_size":10}', b'"binary_data_size":11}'),
        (b'"binary_data_size":10}', b'"binary_data_size":010}'),
        (b'"binary_data_size":10}', b'"binary_data_size":10.0}'),
        (b'"binary_data_size":10}', b'"binary_data_size":1}'),
        (b'"binary_data_size":15}', b'"binary_data_size":16}'),
    ],
)
def test_sizes_that_are_wrong_are_told_like_the_first_time(exchanges: Exchanges, old: bytes, new: bytes) -> None:
    body, header_length = binary_texts([b"a", b"b"], [b"c", b"d", b"e"])
    assert old in body
    length = str(int(header_length or 0) + len(new) - len(old))
    bodies: list[Body] = [(body, header_length), (body.replace(old, new), length)]
    kept, full = [exchanges.answers("onnx_bytes", bodies, keep) for keep in (True, False)]
    assert kept == full
    assert kept[1][0] == 400 or b"error" in kept[1][1]


def test_a_limit_on_the_size_of_inputs_holds_for_texts_that_were_seen_before() -> None:
    full, empty = '["123456789","123456789","123456789"]', '["","",""]'
    texts = PlainTexts(3, True, len(full))
    with pytest.raises(DespinaError):
        texts.read(full.encode())
    assert texts.read(empty.encode()).tolist() == ["", "", ""]


def test_parameters_are_those_of_the_kind(exchanges: Exchanges) -> None:
    told = '"parameters":{"priority":7,"timeout":9000000,"mine":"own"},'
    body = two_inputs('"data":[1,2]', '"data":[1,2,3]', told)
    exchanges.answers("identity_int32", [(body, None)], keep=True)
    found = exchanges.find("identity_int32", body)
    assert found is not None
    assert (found.request.priority, found.request.timeout_us) == (7, 9_000_000)
    assert found.template.request.parameters == {"mine": "own"}


def test_what_is_to_be_traced_does_not_go_the_short_way() -> None:
    model: Any = SimpleNamespace(trace=SimpleNamespace(active=True))
    template: Any = None
    assert not InferExchange(cast("Any", None), model, unexpected).start_like(template, b"", 0)


def unexpected(reply: InferReply) -> None:
    raise AssertionError(reply)


def test_a_request_that_cannot_be_remembered_is_answered_once(
    exchanges: Exchanges, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def keep_json(*request: object) -> None:
        raise ValueError("a mistake of ours")

    monkeypatch.setattr(Templates, "keep_json", keep_json)
    body = two_inputs('"data":[1,2]', '"data":[1,2,3]')
    ((status, _, _, _),) = exchanges.answers("identity_int32", [(body, None)], keep=True)
    assert status == 200
    assert "unexpected failure to remember a request for model 'identity_int32'" in caplog.text


def test_only_so_many_kinds_are_kept(exchanges: Exchanges, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("despina.http.request_templates.MAX_TEMPLATES", 2)
    bodies = [two_inputs('"data":[1,2]', '"data":[1,2,3]', f'"x":{number},') for number in range(3)]
    exchanges.answers("identity_int32", [(body, None) for body in bodies], keep=True)
    assert [exchanges.is_known("identity_int32", body) for body in bodies] == [False, False, True]


@pytest.mark.parametrize("depth", [100, 480, *range(900, 1010, 10), 1400])
def test_a_deep_member_that_nobody_asked_for_does_not_matter(exchanges: Exchanges, depth: int) -> None:
    deep = "[" * depth + "]" * depth
    body = two_inputs('"data":[1,2]', '"data":[1,2,3]', f'"x":{deep},')
    (first, second) = exchanges.answers("identity_int32", [(body, None), (body, None)], keep=True)
    assert first[0] == 200, first
    assert first == second

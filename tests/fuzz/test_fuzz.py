"""A short run of the fuzzing in this folder, and its own parts."""

import copy
import json
import random

import pytest
from tests.fuzz.__main__ import run
from tests.fuzz.answers import all_answers, first_answer
from tests.fuzz.corpus import MODELS, recorded, seed_bodies
from tests.fuzz.findings import Findings
from tests.fuzz.framing import misframed
from tests.fuzz.grpc_sessions import fuzz_grpc
from tests.fuzz.mutation import mutate_bytes, mutate_json


def test_two_thousand_bad_inputs_find_nothing() -> None:
    findings = run(2000, seed=20)
    assert findings.kinds == {}, findings.summary()
    assert sum(findings.inputs.values()) == 2000
    assert {200, 400, 404, 405, 500} <= findings.statuses.keys()


def test_five_hundred_bad_sessions_of_grpc_find_nothing() -> None:
    findings = Findings()
    fuzz_grpc(500, 3, findings)
    assert findings.kinds == {}, findings.summary()


def test_the_same_seed_makes_the_same_inputs() -> None:
    goods = recorded()
    first, second = random.Random(7), random.Random(7)
    for _ in range(200):
        assert misframed(goods, (), first) == misframed(goods, (), second)
        assert mutate_bytes(b"abcdef", first, 3) == mutate_bytes(b"abcdef", second, 3)
        assert repr(mutate_json({"a": [1]}, first, 3)) == repr(mutate_json({"a": [1]}, second, 3))


def test_every_seed_is_for_a_model_that_is_served() -> None:
    assert set(seed_bodies()) <= set(MODELS)
    assert {good.model for good in recorded()} >= {"digits", "add_sub_int32"}


@pytest.mark.parametrize(
    ("status", "body", "kinds"),
    [
        (200, b"", 0),
        (400, b'{"error":"no"}', 0),
        (400, b'data: {"error":"no"}\n\n', 0),
        (400, b"no", 1),
        (400, b'{"error":1}', 1),
        (418, b'{"error":"no"}', 1),
        (500, b'{"error":"unexpected failure: x"}', 1),
    ],
)
def test_an_answer_is_documented_or_a_finding(status: int, body: bytes, kinds: int) -> None:
    findings = Findings()
    findings.check_answer(status, body, b"")
    assert len(findings.kinds) == kinds


def test_answers_are_told_apart() -> None:
    plain = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}"
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[]\r\n1\r\n \r\n0\r\n\r\n"
    answers = list(all_answers(b"HTTP/1.1 100 Continue\r\n\r\n" + plain + chunked + plain))
    assert [(answer.status, answer.body) for answer in answers] == [
        (100, b""),
        (400, b"{}"),
        (200, b"[] "),
        (400, b"{}"),
    ]
    assert first_answer(plain[:-1]) is None
    assert first_answer(chunked[:-1]) is None
    with pytest.raises(ValueError, match="not a whole response"):
        list(all_answers(plain + b"nonsense"))
    assert len(list(all_answers(plain + plain[:-1]))) == 1


def test_mutated_json_is_still_json() -> None:
    rng = random.Random(3)
    request = {"inputs": [{"name": "a", "shape": [1, 2], "data": [1, 2]}]}
    made = {json.dumps(mutate_json(copy.deepcopy(request), rng, 3)) for _ in range(500)}
    assert len(made) > 250

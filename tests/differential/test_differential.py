"""What needs no tritonserver: the damage, the operations, and how answers are compared."""

import random
from itertools import islice
from pathlib import Path

import pytest
from tests.conformance.replay import Response
from tests.differential.differences import WRITTEN, Differences, complaint_of
from tests.differential.kinds import repeated_kinds
from tests.differential.members import ODD, odd_members
from tests.differential.operations import operations, random_flags
from tests.differential.repository import ENSEMBLES, PLACES, Change, make_repository
from tests.differential.requests import damaged_requests
from tests.fuzz.corpus import Good

ASKED = Good("POST", "/v2/models/m/infer", (), b"{}")
JSON = {"content-type": "application/json"}


def answer(status: int, body: str) -> Response:
    return Response(status, JSON, body.encode())


def test_the_same_seed_damages_in_the_same_way_and_another_does_not() -> None:
    first, again, other = (list(islice(damaged_requests(seed), 200)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_damaged_request_says_how_long_its_body_is() -> None:
    for (request,) in islice(damaged_requests(3), 500):
        said = [value for name, value in request.headers if name == "Content-Length"]
        assert said == [str(len(request.body))] or (not request.body and request.method not in ("POST", "PUT", "PATCH"))


def test_every_member_is_odd_in_every_way_alone_and_beside_the_right_one() -> None:
    bodies = {request.body.decode() for exchange in odd_members(1) for request in exchange}
    for odd in ODD:
        assert {
            f'{{"ready": {odd}}}',
            f'{{"ready": true, "ready": {odd}}}',
            f'{{"ready": {odd}, "ready": true}}',
        } < bodies
    assert [list(islice(odd_members(seed), 9)) for seed in (1, 2)] == [
        list(islice(odd_members(seed), 9)) for seed in (1, 2)
    ]


def test_requests_of_a_kind_go_to_one_model_and_say_how_long_they_are() -> None:
    first, again = (list(islice(repeated_kinds(4), 200)) for _ in range(2))
    assert first == again
    for requests in first:
        assert len({request.path for request in requests}) == 1
        assert len(set(requests)) > 1
        for request in requests:
            assert dict(request.headers)["Content-Length"] == str(len(request.body))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (answer(200, '{"a":[1.0,NaN]}'), answer(200, '{"a":[1,NaN]}')),
        (answer(400, '{"error":"no"}'), answer(400, '{"error":"no"}')),
        (None, None),
    ],
)
def test_answers_that_agree(theirs: Response | None, ours: Response | None) -> None:
    differences = Differences()
    assert differences.compare(ASKED, theirs, ours) == (theirs is not None and theirs.status == 200)
    assert (differences.compared, differences.unknown.total(), differences.known.total()) == (1, 0, 0)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (answer(200, '{"a":1}'), answer(200, '{"a":2}')),
        (answer(400, '{"error":"no"}'), answer(500, '{"error":"no"}')),
        (answer(400, '{"error":"no"}'), answer(400, '{"error":"never"}')),
        (answer(200, "{}"), None),
        (None, answer(200, "{}")),
    ],
)
def test_answers_that_differ_are_shown_once_per_kind(theirs: Response | None, ours: Response | None) -> None:
    differences = Differences()
    assert not differences.compare(ASKED, theirs, ours)
    assert not differences.compare(ASKED, theirs, ours)
    assert (differences.unknown.total(), len(differences.examples)) == (2, 1)
    assert "POST /v2/models/m/infer" in differences.summary()
    assert "differences without a known reason: 2 of 1 kinds" in differences.summary()


def test_a_difference_with_a_reason_does_not_count() -> None:
    differences = Differences()
    theirs, ours = answer(400, '{"error":"Model version not ready"}'), answer(404, '{"error":"x"}')
    assert not differences.compare(ASKED, theirs, ours)
    assert (differences.unknown.total(), differences.known.total()) == (0, 1)
    assert "known, 1 times" in differences.summary()


def test_the_same_seed_gives_the_same_operations() -> None:
    def said(seed: int) -> list[object]:
        rng = random.Random(seed)
        steps = [step for together in islice(operations(rng, "/k-"), 300) for step in together]
        return [random_flags(rng), *(step.said if isinstance(step, Change) else step for step in steps)]

    assert said(1) == said(1)
    assert said(1) != said(2)


def test_every_change_can_be_made_to_every_repository(tmp_path: Path) -> None:
    make_repository(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*PLACES, *ENSEMBLES}
    for together in islice(operations(random.Random(1), "/k-"), 1500):
        for step in together:
            if isinstance(step, Change):
                step.apply(tmp_path)


def test_counts_of_statistics_are_compared_where_they_count() -> None:
    asked = Good("GET", "/v2/models/m/stats", (), b"")
    one, two = (answer(200, f'{{"model_stats":[{{"inference_count":{n},"last_inference":{n}}}]}}') for n in (1, 2))
    assert complaint_of(asked, one, two) is None
    assert complaint_of(asked, one, two, counted=True) is not None
    assert complaint_of(asked, one, one, counted=True) is None


def test_what_is_left_in_shared_memory_is_part_of_an_answer() -> None:
    one, two = (Response(200, {**JSON, WRITTEN: written}, b"{}") for written in ("[1]", "[2]"))
    assert complaint_of(ASKED, one, two) == "other bytes in shared memory"
    assert complaint_of(ASKED, one, one) is None

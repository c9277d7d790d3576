import json
from typing import Any

import numpy as np
import pytest

from despina.http.reply_kind import MAX_FRAMES, ReplyKind
from despina.protocol.messages import Array
from despina.scheduling.pending import Pending

X = np.ones((1, 2), "<f4")


def kind(*names: str) -> ReplyKind:
    return ReplyKind("m", 1, tuple((name, "FP32") for name in names), ("JSON",) * len(names))


def answered(results: dict[str, Array], said: dict[str, Any] | None = None, **more: Any) -> Pending:
    pending = Pending({}, 1, lambda pending: None, **more)
    pending.results, pending.response_parameters = results, said or {}
    return pending


def told(kind: ReplyKind, pending: Pending) -> dict[str, Any]:
    composed = kind.compose(pending)
    assert composed is not None
    document: dict[str, Any] = json.loads(b"".join(map(bytes, composed[0])))
    return document


def test_a_reply_without_all_its_outputs_takes_the_full_way() -> None:
    both = kind("X", "Y")
    assert [each["name"] for each in told(both, answered({"X": X, "Y": X}))["outputs"]] == ["X", "Y"]
    assert both.compose(answered({"X": X})) is None


def test_replies_with_parameters_have_those_of_their_own() -> None:
    one = kind("X")
    assert "parameters" not in told(one, answered({"X": X}))
    for value in (1, 2, 1):
        assert told(one, answered({"X": X}, {"sequence_id": value}))["parameters"] == {"sequence_id": value}
    assert "parameters" not in told(one, answered({"X": X}))


def test_what_is_said_of_one_request_only_takes_the_full_way() -> None:
    requests: list[dict[str, Any]] = [{"parameters": {"despina_explain": True}}, {"correlation_id": 7}]
    for asked in requests:
        one = kind("X")
        assert one.compose(answered({"X": X}, {"batch_rows": 1}, **asked)) is None
        assert not one.frames


def test_a_bounded_number_of_shapes_is_remembered() -> None:
    one = kind("X")
    for width in range(1, 2 * MAX_FRAMES):
        assert told(one, answered({"X": np.zeros((1, width), "<f4")}))["outputs"][0]["shape"] == [1, width]
    assert len(one.frames) <= MAX_FRAMES


@pytest.mark.parametrize("made", [("Y",), ("Y", "Z"), ()])
def test_a_reply_without_an_output_that_was_asked_for_goes_the_full_way(made: tuple[str, ...]) -> None:
    one = kind("X")
    assert one.compose(answered(dict.fromkeys(made, X))) is None
    assert one.compose(answered(dict.fromkeys(("X", *made), X))) is not None

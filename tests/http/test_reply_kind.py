import numpy as np
import pytest

from despina.http.reply_kind import ReplyKind
from despina.scheduling.pending import Pending


@pytest.mark.parametrize("made", [("Y",), ("Y", "Z"), ()])
def test_a_reply_without_an_output_that_was_asked_for_goes_the_full_way(made: tuple[str, ...]) -> None:
    kind = ReplyKind("m", 1, (("X", "FP32"),), ("JSON",))
    pending = Pending({}, 1, lambda pending: None, results=dict.fromkeys(made, np.ones(1, "<f4")))
    assert kind.compose(pending) is None
    pending.results = dict.fromkeys(("X", *made), np.ones(1, "<f4"))
    assert kind.compose(pending) is not None

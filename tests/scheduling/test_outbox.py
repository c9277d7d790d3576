"""Answers of a large batch leave together, those of a small one as they come."""

import pytest

from despina.scheduling.answers import TOGETHER
from despina.scheduling.outbox import Outbox


class Writer:
    def __init__(self, log: list[tuple["Writer", bytes]]) -> None:
        self._log = log

    def write(self, data: bytes) -> None:
        self._log.append((self, data))


class Broken:
    def write(self, data: bytes) -> None:
        raise RuntimeError("the handler is closed")


@pytest.fixture
def written() -> list[tuple[Writer, bytes]]:
    return []


def test_an_answer_is_written_at_once(written) -> None:
    client = Writer(written)
    Outbox().put(client, b"a")
    assert written == [(client, b"a")]


def test_what_leaves_together_is_written_at_the_end_once_per_connection(written) -> None:
    outbox, one, other = Outbox(), Writer(written), Writer(written)
    with outbox.together():
        outbox.put(one, b"a")
        outbox.put(other, b"b")
        outbox.put(one, b"c")
        assert not written
    assert written == [(one, b"ac"), (other, b"b")]
    outbox.put(other, b"d")
    assert written[2:] == [(other, b"d")]


def test_a_batch_that_is_answered_within_another_leaves_with_it(written) -> None:
    outbox, client = Outbox(), Writer(written)
    with outbox.together():
        with outbox.together():
            outbox.put(client, b"a")
        assert not written
    assert written == [(client, b"a")]


def test_whatever_happens_meanwhile_what_was_put_there_leaves(written) -> None:
    outbox, client = Outbox(), Writer(written)

    def fail() -> None:
        with outbox.together():
            outbox.put(client, b"a")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert written == [(client, b"a")]


def test_one_that_cannot_be_written_does_not_keep_the_others(written, caplog) -> None:
    outbox, client = Outbox(), Writer(written)
    with outbox.together():
        outbox.put(Broken(), b"a")
        outbox.put(client, b"b")
    assert written == [(client, b"b")]
    assert "the handler is closed" in caplog.text


@pytest.mark.parametrize("requests", [TOGETHER - 1, TOGETHER])
def test_the_answers_of_a_large_batch_leave_together(make_stage, clock, written, requests) -> None:
    outbox, client = Outbox(), Writer(written)
    stage = make_stage(requests, outbox=outbox)
    before: list[int] = []

    def answer(pending: object) -> None:
        before.append(len(written))
        outbox.put(client, b".")

    for _ in range(requests):
        stage.submit(settle=False, on_answer=answer)
    clock.settle()
    stage.finish_all()
    together = requests == TOGETHER
    assert stage.ran == [requests]
    assert before == ([0] * requests if together else list(range(requests)))
    assert b"".join(data for _, data in written) == b"." * requests

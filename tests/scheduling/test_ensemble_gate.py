from collections.abc import Callable
from functools import partial

from despina.scheduling.ensemble_gate import Gate


def sender(log: list[str], name: str, sends: bool = True) -> Callable[[], bool]:
    def send() -> bool:
        log.append(name)
        return sends

    return send


def test_those_beyond_the_limit_wait_in_order() -> None:
    gate, log = Gate(2), list[str]()
    for name in "abcd":
        gate.enter(sender(log, name))
    assert log == ["a", "b"]
    gate.leave()
    assert log == ["a", "b", "c"]
    gate.leave()
    assert log == ["a", "b", "c", "d"]


def test_what_sends_nothing_takes_no_place() -> None:
    gate, log = Gate(1), list[str]()
    gate.enter(sender(log, "nothing", sends=False))
    gate.enter(sender(log, "a"))
    gate.enter(sender(log, "b"))
    assert log == ["nothing", "a"]


def test_any_number_may_be_answered_at_once_one_after_another() -> None:
    gate, log = Gate(1), list[int]()

    def answered_at_once(number: int) -> bool:
        log.append(number)
        gate.leave()
        return True

    gate.enter(sender([], "first"))
    for number in range(5000):
        gate.enter(partial(answered_at_once, number))
    gate.leave()
    assert log == list(range(5000))

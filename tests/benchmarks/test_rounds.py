from dataclasses import dataclass, field

from benchmarks.latencies import Latencies
from benchmarks.measurement import Load, Point, Round
from benchmarks.rounds import run
from benchmarks.server_process import NotStarted
from benchmarks.verify import WrongAnswer

POINT = Point("m", "json", 1)
ROUND = Round(Load(1, 1, 1.0, 0, 0.0, Latencies()), 0.0, 0.0, 1.0)


@dataclass
class Fake:
    """A contender that writes down what happens to it."""

    name: str
    log: list[str]
    kinds: tuple[str, ...] = ("binary", "json")
    about: str = ""
    fails: str = ""
    measured: int = field(default=0)

    def start(self) -> "Fake":
        if self.fails == "start":
            raise NotStarted("no such program")
        if self.fails == "program":
            raise FileNotFoundError(2, "No such file or directory", "bin/python")
        return self

    def verify(self, point: Point) -> None:
        if self.fails == "verify":
            raise WrongAnswer("row 3")
        if self.fails == "again":
            raise NotStarted("not a second time")

    def measure(self, point: Point, seconds: float) -> Round:
        self.measured += 1
        if self.fails == "later" and self.measured == 3:
            raise ConnectionError("gone")
        if self.measured > 1:
            self.log.append(self.name)
        return ROUND

    def stop(self) -> None:
        self.log.append(f"{self.name} stopped")


def test_the_order_alternates_and_everything_is_stopped() -> None:
    log: list[str] = []
    outcome = run([Fake("a", log), Fake("b", log)], [POINT], rounds=3, seconds=1.0)  # type: ignore[list-item]
    assert log == ["a", "b", "b", "a", "a", "b", "b stopped", "a stopped"]
    assert [(each.contender, len(each.rounds)) for each in outcome.series] == [("a", 3), ("b", 3)]


def test_who_does_not_start_is_skipped_with_the_reason() -> None:
    log: list[str] = []
    fakes = [Fake("a", log, fails="start"), Fake("b", log), Fake("c", log, fails="program")]
    outcome = run(fakes, [POINT], 1, 1.0)  # type: ignore[arg-type]
    assert outcome.skipped == {"a": "no such program", "c": "[Errno 2] No such file or directory: 'bin/python'"}
    assert [each.contender for each in outcome.series] == ["b"]


def test_what_there_is_can_be_kept_after_every_point() -> None:
    points = [POINT, Point("m", "json", 2)]
    seen: list[int] = []
    outcome = run([Fake("a", [])], points, 1, 1.0, lambda outcome: seen.append(len(outcome.series)))  # type: ignore[list-item]
    assert seen == [1, len(outcome.series)] == [1, 2]


def test_wrong_answers_and_failures_leave_no_numbers_and_spare_the_others() -> None:
    log: list[str] = []
    fails = {"row 3": "verify", "not a second time": "again", "gone": "later", "": ""}
    fakes = [Fake(name, log, fails=how) for name, how in fails.items()]
    outcome = run(fakes, [POINT], 3, 1.0)  # type: ignore[arg-type]
    assert [each.failure for each in outcome.series] == list(fails)
    assert [len(each.rounds) for each in outcome.series] == [0, 0, 0, 3]


def test_a_form_of_request_it_does_not_speak_is_not_asked_of_it() -> None:
    log: list[str] = []
    points = [POINT, Point("m", "binary", 1)]
    outcome = run([Fake("a", log), Fake("b", log, kinds=("json",))], points, 1, 1.0)  # type: ignore[list-item]
    assert [(each.contender, each.point.kind) for each in outcome.series] == [
        ("a", "json"),
        ("b", "json"),
        ("a", "binary"),
    ]

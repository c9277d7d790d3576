"""Options of the commands: their types, those that several share, and what is said when nothing comes of it."""

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import click

from benchmarks.loadgen import NoCompiler, build
from benchmarks.measurement import KINDS, Kind
from benchmarks.models import MODELS
from benchmarks.peers import PEERS
from benchmarks.record import NotARecord
from benchmarks.repository import DEFAULTS, Batching
from benchmarks.server_process import NotStarted
from benchmarks.suites import Effort
from benchmarks.verify import WrongAnswer
from despina.cli.values import FiniteRange

SETTINGS = {"one": Batching(), "defaults": DEFAULTS}


class Numbers(click.ParamType):
    """`1,4,16`"""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = value.split(",")
        if not all(part.isdecimal() and int(part) > 0 for part in parts):
            self.fail(f"{value!r}: expected whole numbers above 0, separated by commas", param, ctx)
        return tuple(map(int, parts))


class Words(click.ParamType):
    """Any words, separated by commas."""

    name = "words"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        return value if isinstance(value, tuple) else tuple(word for word in value.split(",") if word)


class Names(Words):
    """`all`, or some of the known names."""

    name = "names"

    def __init__(self, known: Iterable[str]) -> None:
        self._known = tuple(known)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        names = self._known if value == "all" else super().convert(value, param, ctx)
        if unknown := [name for name in names if name not in self._known]:
            self.fail(f"{', '.join(unknown)}: not among {', '.join(self._known)}", param, ctx)
        return names


COUNT = click.IntRange(min=1)
LENGTH = FiniteRange(min=0.01)
MODEL = click.Choice(list(MODELS))

Command = Callable[..., None]


class ResultName(click.ParamType):
    """What stands before `.json` and `.md`."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if "." in value or "/" in value:
            self.fail(f"{value!r}: expected a name without dots and slashes", param, ctx)
        return str(value)


@contextmanager
def explained() -> Iterator[None]:
    """Ends with one sentence where something is missing or does not work."""
    try:
        yield
    except (NoCompiler, NotStarted, WrongAnswer, NotARecord) as reason:
        raise click.ClickException(str(reason)) from None


SAVE = click.option(
    "--save", default="", type=ResultName(), help="Write to benchmarks/results/<name>, to be committed."
)
FLAG = click.option("--flag", multiple=True, help="One more flag for despina serve; repeatable.")
KIND = click.option("--kind", type=click.Choice(["both", *KINDS]), default="both", help="Form of the requests.")
GRPC_KIND = click.option(
    "--kind", type=click.Choice(["both", *KINDS, "grpc"]), default="both", help="Form of the requests; both over HTTP."
)


def effort(
    seconds: float = 2.0,
    connections: str = "1,4,16,64",
    rounds: int = 5,
    quick: tuple[int, float] = (2, 0.5),
    *,
    kind: bool = True,
    grpc: bool = False,
    flag: bool = True,
) -> Callable[[Command], Command]:
    """The options every measurement has, gathered into one `Effort`; `--kind` and `--flag` where they change it,
    and `--kind=grpc` where that can be measured.
    `quick`: how many rounds of how many seconds show whether it works."""
    quick_rounds, quick_seconds = quick
    shortened = f"{quick_rounds} round{'s' * (quick_rounds > 1)} of {quick_seconds:g} s"
    options = (
        SAVE,
        *((FLAG,) if flag else ()),
        *((GRPC_KIND if grpc else KIND,) if kind else ()),
        click.option("--connections", default=connections, type=Numbers(), help="Numbers of connections."),
        click.option("--quick", "short", is_flag=True, help=f"{shortened}: whether it works, not how fast it is."),
        click.option("--seconds", default=seconds, type=LENGTH, help="Length of a round."),
        click.option("--rounds", default=rounds, type=COUNT, help="Alternating rounds per point."),
    )

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def wrapped(
            short: bool,
            connections: tuple[int, ...],
            kind: str = "both",
            flag: tuple[str, ...] = (),
            **rest: Any,
        ) -> None:
            rounds, seconds = rest.pop("rounds"), rest.pop("seconds")
            if short:
                rounds, seconds = quick
            kinds = KINDS if kind == "both" else (cast("Kind", kind),)
            with explained():
                build()
                command(effort=Effort(rounds, seconds, connections, kinds, flag), **rest)

        return functools.reduce(lambda decorated, option: option(decorated), options, wrapped)

    return decorate


with_model = click.option("--model", default="mlp", type=MODEL, help="The model.")
with_peers = click.option("--peers", "names", default="", type=Names(PEERS), help=f"all, or of {', '.join(PEERS)}.")
with_settings = click.option(
    "--settings", type=click.Choice(list(SETTINGS)), default="one", help="One instance and thread, or the defaults."
)

"""Flags that mean something only in a cloud workspace: accepted, so that an existing command line still runs."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

WORKSPACE = (("--workspace-name", "-w"), ("--resource-group", "-g"), ("--subscription-id",), ("--path",))
_SEEN = "despina.cli.cloud"


def cloud_options(*declarations: tuple[str, ...]) -> Callable[[Command], Command]:
    """Adds the workspace's options and `declarations`, all with a value that is ignored, and `-v`.

    One warning on stderr names those that were given.
    """

    def decorate(command: Command) -> Command:
        for names in (*WORKSPACE, *declarations):
            command = click.option(*names, expose_value=False, hidden=True, callback=_remember)(command)
        return click.option("-v", is_flag=True, expose_value=False, hidden=True, help="Nothing is kept back.")(command)

    return decorate


def _remember(context: click.Context, parameter: click.Parameter, value: object) -> None:
    if value is None:
        return
    seen: list[str] = context.meta.setdefault(_SEEN, [])
    if not seen:
        context.call_on_close(lambda: _warn(seen))
    seen.append(parameter.opts[0])


def _warn(seen: list[str]) -> None:
    click.echo(f"warning: {', '.join(seen)} ignored: only a cloud workspace has a use for it", err=True)

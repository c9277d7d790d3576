"""The console script `despina`, and `python -m despina`."""

import os
from importlib import import_module

import click

from despina import __version__
from despina.cli.standard_streams import fill_standard_streams

_COMMANDS = {
    "serve": "despina.cli.serve:serve",
    "model": "despina.cli.model:model",
    "service": "despina.cli.service:service",
    "score": "despina.cli.score:score",
    "compute": "despina.cli.compute:compute",
    "tune": "despina.cli.tune:tune",
}


class LateCommands(click.Group):
    """Imports a command's module when it is called; flags without a command are those of `serve`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and is_for_serve(args[0]):
            args = ["serve", *args]
        return super().parse_args(ctx, args)


def is_for_serve(word: str) -> bool:
    """A path is none of its flags, but `serve` says which flag takes it."""
    if word.startswith("-"):
        return word not in ("--help", "--version")
    return word not in _COMMANDS and os.path.exists(word)


@click.command(cls=LateCommands)
@click.version_option(__version__, prog_name="despina")
def cli() -> None:
    """Despina serves ONNX models over Triton's v2 inference protocol.

    `despina --model-repository=DIR` is short for `despina serve --model-repository=DIR`;
    `despina serve --help` lists the flags.
    """


def main() -> None:
    """Run the command line; never returns."""
    fill_standard_streams()
    cli(prog_name="despina")

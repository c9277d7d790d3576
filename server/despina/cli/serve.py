"""`despina serve`: takes tritonserver's command line."""

import click

from despina.cli.help import render_help
from despina.cli.settings_from_flags import read_command_line


@click.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},
    short_help="Serve a model repository; takes tritonserver's flags.",
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def serve(words: tuple[str, ...]) -> None:
    """Serve until SIGINT or SIGTERM; the exit status is the server's."""
    if "--help" in words or "-h" in words:
        click.echo(render_help())
        return
    line = read_command_line(words)
    for warning in line.warnings:
        click.echo(warning, err=True)
    from despina.run import run  # late: a wrong flag is answered before the server's imports cost their time

    raise SystemExit(run(line.settings))

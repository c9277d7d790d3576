"""What commands print: JSON or a table on stdout, everything else on stderr."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from despina.errors import DespinaError

Record = Mapping[str, Any]

output_option = click.option(
    "--output", "-o", type=click.Choice(["json", "table"]), default="json", help="What is printed on stdout."
)


def parse_text(
    context: click.Context, parameter: click.Parameter, value: str | tuple[str, ...] | None
) -> str | tuple[str, ...] | None:
    """Option callback: text that can be stored and printed. Bytes that are none arrive as surrogates."""
    for text in (value,) if isinstance(value, str) else value or ():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise click.ClickException(
                f"{parameter.opts[0]}: {os.fsencode(text)!r} is not text in UTF-8; write it in UTF-8"
            ) from None
    return value


def parse_pairs(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    """Option callback: each value is `KEY=VALUE`."""
    filters = parse_filters(context, parameter, values)
    for key, value in filters:
        if value is None:
            raise click.BadParameter(f"{key!r} is not KEY=VALUE", context, parameter)
    return {key: value for key, value in filters if value is not None}


def parse_keys(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
    """Option callback: each value is `KEY`, or `KEY=VALUE`, of which the key counts."""
    parse_text(context, parameter, tuple(values))
    return tuple(value.partition("=")[0] for value in values)


def parse_filters(
    context: click.Context, parameter: click.Parameter, values: Sequence[str]
) -> list[tuple[str, str | None]]:
    """Option callback: each value is `KEY=VALUE`, or `KEY` for any value."""
    parse_text(context, parameter, tuple(values))
    split = [value.partition("=") for value in values]
    if not all(key for key, _, _ in split):
        raise click.BadParameter("a key is missing before '='", context, parameter)
    return [(key, value if equals else None) for key, equals, value in split]


def progress(line: str) -> None:
    """One line for the person who waits."""
    click.echo(line, err=True)


@contextmanager
def reported() -> Iterator[None]:
    """Turns our errors, and those of the file system, into one line on stderr and exit code 1."""
    try:
        yield
    except DespinaError as error:
        raise click.ClickException(error.message) from None
    except BrokenPipeError:  # whoever read our output has gone; click ends quietly
        raise
    except OSError as error:
        raise click.ClickException(_reason(error)) from None


def check_can_be_made(path: Path) -> None:
    """Raises OSError: there is no file of this name, and none can be made."""
    if not path.exists():
        path.touch()
        path.unlink()


def show(record: Record, output: str, columns: Sequence[str]) -> None:
    """One record: a JSON object, or a table of one row."""
    click.echo(table([record], columns) if output == "table" else json.dumps(record, indent=2))


def show_all(records: Sequence[Record], output: str, columns: Sequence[str]) -> None:
    """Many records: a JSON array, or a table."""
    click.echo(table(records, columns) if output == "table" else json.dumps(records, indent=2))


def table(records: Sequence[Record], columns: Sequence[str]) -> str:
    """Columns as wide as their longest cell."""
    rows = [
        [column.upper() for column in columns],
        *([_cell(record.get(key)) for key in columns] for record in records),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _reason(error: OSError) -> str:
    paths = " and ".join(str(path) for path in (error.filename, error.filename2) if path is not None)
    if paths:
        return f"{paths}: {error.strerror}"
    if isinstance(error, FileNotFoundError):  # of all paths only that of the current folder is not named
        return "the current folder was deleted; change to one that exists"
    return str(error.strerror or error)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return " ".join(f"{key}={one}" for key, one in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value)

"""Texts of the command line → values: one small parser per kind, each raising `CommandLineError` with its reason."""

import math
import re
from pathlib import Path
from typing import IO, Any, Literal

import click

from despina.settings import RateLimitResource

RESTRICTED_APIS = (
    "health",
    "metadata",
    "inference",
    "shared-memory",
    "model-config",
    "model-repository",
    "statistics",
    "trace",
    "logging",
)

COMPRESSION_LEVELS = ("none", "low", "medium", "high")

_LEADING = {
    "<integer>": re.compile(r"[+-]?[0-9]+"),
    "<float>": re.compile(r"[+-]?[0-9]+(\.[0-9]*)?(e[+-]?[0-9]+)?", re.I),
}


class CommandLineError(click.ClickException):
    """A command line that cannot be followed; the process exits with 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"{self.message}\nUsage: despina serve [flags]; `despina serve --help` lists them.", file, err=True)


def boolean(text: str) -> bool:
    """true, on, 1, false, off, 0 in any case."""
    word = text.lower()
    if word in ("true", "on", "1"):
        return True
    if word in ("false", "off", "0"):
        return False
    raise CommandLineError(f"invalid value for bool option: {text}")


def integer(text: str) -> int:
    """A decimal integer."""
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text):
        raise _expected("an integer", text)
    return int(text)


def leading_number(text: str, kind: str = "<integer>") -> str:
    """The number at the beginning of the text, as tritonserver reads it: `5s` is 5, and `256M` is 256. All of the text
    where it begins with none, or is of another kind."""
    pattern = _LEADING.get(kind)
    found = None if pattern is None else pattern.match(text)
    return text if found is None else found[0]


def unread(flag: str, number: object) -> str:
    """The warning about a flag of which only the number at the beginning is read."""
    return f"Warning: '--{flag}' is read as {number}: what follows the number has no effect"


def natural(text: str) -> int:
    """An integer that is not negative."""
    value = integer(text)
    if value < 0:
        raise _expected("an integer from 0 on", text)
    return value


def config_name(text: str) -> str:
    """The name of a custom configuration, which must not be empty."""
    if not text:
        raise CommandLineError("Error: empty argument for --model-config-name")
    return text


def positive(text: str) -> int:
    """An integer above zero."""
    value = integer(text)
    if value < 1:
        raise _expected("an integer from 1 on", text)
    return value


def port(text: str) -> int:
    """A TCP port; 0 lets the system choose."""
    value = integer(text)
    if not 0 <= value <= 65535:
        raise _expected("a port from 0 to 65535", text)
    return value


def address(text: str) -> str:
    """An address to listen at. tritonserver is told by `ipv6:` that one is of IPv6, in brackets or not."""
    for family in ("ipv4:", "ipv6:"):
        text = text.removeprefix(family)
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _expected("a number", text)
    return value


class FiniteRange(click.FloatRange):
    """As click's, which takes NaN for a number within any range, and infinity for one without an end."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = float(super().convert(value, param, ctx))
        if not math.isfinite(found):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return found


def verbosity(text: str) -> int:
    """A verbose level; true is 1 and false is 0."""
    word = text.lower()
    return int(word == "true") if word in ("true", "false") else natural(text)


def api_key(text: str) -> str:
    """A key. An empty one, such as a variable that is not set gives, would open the server to everybody."""
    if not text:
        raise CommandLineError("Invalid option value. Got nothing; expected a key that is not empty")
    return text


def api_keys(path: str) -> tuple[str, ...]:
    """The keys in a file, one a line. An editor may have put a byte order mark before the first."""
    try:
        keys = tuple(line.strip() for line in Path(path).read_text("utf-8-sig").splitlines() if line.strip())
    except (OSError, ValueError) as error:
        raise CommandLineError(f"Invalid option value. Got '{path}'; expected a file with keys ({error})") from None
    if not keys:
        raise CommandLineError(
            f"Invalid option value. Got '{path}'; expected a file with keys, one a line, and it has none"
        )
    return keys


def repository(text: str) -> Path:
    """A directory of models, or a model file."""
    if not text:
        raise CommandLineError("Invalid option value. Got nothing; expected a directory of models, or a model file")
    if re.match(r"(gs|s3|as)://", text):
        raise CommandLineError(
            f"cloud storage is not read here: {text}; copy or mount the repository and give its local path"
        )
    return Path(text)


def control_mode(text: str) -> str:
    """none, poll or explicit, in any case."""
    if text.lower() not in ("none", "poll", "explicit"):
        raise CommandLineError(f"invalid argument for --model-control-mode: {text}; expected none, poll or explicit")
    return text.lower()


def log_format(text: str) -> str:
    """default or ISO8601."""
    if text not in ("default", "ISO8601"):
        raise CommandLineError(f"invalid argument for --log-format, got: {text}; expected default or ISO8601")
    return text


def rate_limit(text: str) -> str:
    """off or execution_count."""
    if text not in ("off", "execution_count"):
        raise CommandLineError(f"invalid argument for --rate-limit: {text}; expected off or execution_count")
    return text


def resource(text: str) -> RateLimitResource:
    """`name:count[:device]`."""
    name, *numbers = text.split(":")
    if not name or not 1 <= len(numbers) <= 2:
        raise _format("rate-limit-resource", "<resource_name>:<count>[:<device>]", text)
    return RateLimitResource(name, natural(numbers[0]), natural(numbers[1]) if len(numbers) == 2 else None)


def pattern(text: str) -> str:
    """A regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise CommandLineError(f"not a regular expression: {text}: {error}") from error
    return text


def scoped_setting(flag: str, text: str, scope_needed: bool = False) -> tuple[str, str, str]:
    """`[<scope>,]<setting>=<value>`; the scope is "" when it is left out."""
    left, equals, value = text.partition("=")
    scope, comma, key = left.rpartition(",")
    if not equals or not key or (comma and not scope) or (scope_needed and not comma):
        raise _format(flag, "<name>,<setting>=<value>", text)
    return scope, key, value


def setting(flag: str, text: str) -> tuple[str, str]:
    """`<setting>=<value>`, of which neither is empty."""
    key, _, value = text.partition("=")
    if not key or not value:
        raise _format(flag, "<setting>=<value>", text)
    return key, value


def compression_level(text: str) -> str:
    """none, low, medium or high, in any case."""
    if text.lower() not in COMPRESSION_LEVELS:
        raise CommandLineError(
            f"invalid argument for --grpc_infer_response_compression_level: {text}; expected one of "
            f"{', '.join(COMPRESSION_LEVELS)}"
        )
    return text.lower()


def restriction(kind: Literal["api", "protocol"], text: str) -> tuple[tuple[str, ...], tuple[str, str]]:
    """`<api>[,<api>...]:<header>=<value>` → the APIs, and the header with its value. gRPC has protocols instead, which
    are the same ones."""
    listed, colon, secret = text.partition(":")
    header, equals, value = secret.partition("=")
    if not colon or not equals or not header:
        flag = "http-restricted-api" if kind == "api" else "grpc-restricted-protocol"
        raise _format(flag, f"<{kind}>[,<{kind}>...]:<header>=<value>", text)
    apis = tuple(listed.split(","))
    for api in apis:
        if api not in RESTRICTED_APIS:
            raise CommandLineError(f"unknown restricted {kind} '{api}' ; expected one of {', '.join(RESTRICTED_APIS)}")
    return apis, (header, value)


def _expected(what: str, text: str) -> CommandLineError:
    return CommandLineError(f"Invalid option value. Got {text}; expected {what}")


def _format(flag: str, expected: str, text: str) -> CommandLineError:
    return CommandLineError(f"--{flag} option format is '{expected}'. Got {text}")

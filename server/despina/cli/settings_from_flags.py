"""Flags as given → `Settings`: folding, defaults that depend on other flags, and the rules between flags."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any

from despina.cli.deprecated import warn_deprecated, with_deprecated
from despina.cli.flags import FLAGS
from despina.cli.metrics_config import metrics_settings, unread_metrics_settings
from despina.cli.parse import Given, parse
from despina.cli.rules import check
from despina.cli.structured import (
    cache_settings,
    restricted_apis,
    restricted_protocols,
    scoped_settings,
    trace_settings,
    unknown_settings,
    unread_numbers,
)
from despina.cli.values import CommandLineError, unread
from despina.settings import Settings

_POLL_SECS = next(flag.default for flag in FLAGS if flag.name == "repository-poll-secs")


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What was asked for, and what the user should be told about it before the start."""

    settings: Settings
    warnings: tuple[str, ...]


def read_command_line(words: Sequence[str]) -> CommandLine:
    """Parse, fold and check. Raises CommandLineError (exit status 1)."""
    given = parse(words)
    warnings = [*_without_effect(given), *warn_deprecated(given)]
    settings = Settings(**_fold(given))
    check(settings)
    warnings += _reservations(settings)
    return CommandLine(settings, tuple(warnings))


def _without_effect(given: Sequence[Given]) -> Iterator[str]:
    last = {one.flag.name: one for one in given}
    for name, one in last.items():
        if one.flag.refused and one.value is not False:
            raise CommandLineError(f'Bad option: "--{name}".\nNot offered here: {one.flag.refused}')
        if one.flag.inert and one.value != one.flag.default:
            yield f"Warning: '--{name}' has no effect: {one.flag.inert}"
        if one.unread:
            yield unread(f"{name}={one.unread}", one.value)
    settings = [(one.flag.name, one.value) for one in given]
    yield from unread_numbers(settings)
    yield from unread_metrics_settings(settings)
    yield from unknown_settings(settings)


def _reservations(settings: Settings) -> Iterator[str]:
    """What the user may not have meant."""
    if not settings.allow_http and not settings.allow_grpc:
        yield "Warning: '--allow-http=false' and '--allow-grpc=false' leave clients no way to a model"
    if settings.allow_grpc:
        yield from _reservations_about_grpc(settings)


def _reservations_about_grpc(settings: Settings) -> Iterator[str]:
    if settings.http_restricted_api and not settings.grpc_restricted_protocol:
        yield (
            "Warning: '--http-restricted-api' restricts nothing that comes by gRPC: give '--grpc-restricted-protocol', "
            "too, or '--allow-grpc=false'"
        )
    if settings.grpc_server_cert is not None and not settings.grpc_use_ssl:
        yield "Warning: '--grpc-server-cert' has no effect without '--grpc-use-ssl=true'"
    if settings.grpc_root_cert is not None and not settings.grpc_use_ssl_mutual:
        yield "Warning: '--grpc-root-cert' has no effect without '--grpc-use-ssl-mutual=true': any client is let in"


def _fold(given: Sequence[Given]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    repeated: dict[str, list[Any]] = {}
    for one in given:
        if one.flag.repeats:
            repeated.setdefault(one.flag.field, []).append(one.value)
        else:
            values[one.flag.field] = one.value
    with_deprecated(values, repeated)
    _repeated_fields(values, repeated)
    _dependent_fields(values)
    return {field.name: values[field.name] for field in fields(Settings) if field.name in values}


def _repeated_fields(values: dict[str, Any], repeated: dict[str, list[Any]]) -> None:
    repositories = {*repeated.get("model_repository", ()), *repeated.get("model_store", ())}
    values["model_repository"] = tuple(sorted(repositories))
    for name in ("load_model", "rate_limit_resource"):
        values[name] = tuple(dict.fromkeys(repeated.get(name, ())))
    keys = chain(repeated.get("api_key", ()), *repeated.get("api_key_file", ()))
    values["api_key"] = tuple(dict.fromkeys(keys))
    values["http_restricted_api"] = restricted_apis(repeated.get("http_restricted_api", ()))
    values["grpc_restricted_protocol"] = restricted_protocols(repeated.get("grpc_restricted_protocol", ()))
    values["metrics_config"] = metrics_settings(repeated.get("metrics_config", ()))
    values["backend_config"] = scoped_settings(repeated.get("backend_config", ()))
    values["cache_config"] = cache_settings(repeated.get("cache_config", ()))
    values["trace_config"] = trace_settings(repeated.get("trace_config", ()))


def _dependent_fields(values: dict[str, Any]) -> None:
    polling = values.get("model_control_mode") == "poll"
    values["repository_poll_secs"] = values.get("repository_poll_secs", _POLL_SECS) if polling else 0
    values["grpc_required"] = values.get("allow_grpc", "grpc_port" in values or "grpc_address" in values)
    if values.get("grpc_use_ssl_mutual", False):
        values["grpc_use_ssl"] = True
    for address in ("grpc_address", "metrics_address"):
        values.setdefault(address, values.get("http_address", Settings().http_address))
    if not values.get("allow_metrics", True):
        values |= {"allow_gpu_metrics": False, "allow_cpu_metrics": False}

"""Flags that repeat and carry structure: many occurrences → one value of `Settings`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from despina.cli import values as v
from despina.cli.metrics_config import SETTINGS as METRICS_SETTINGS
from despina.cli.values import CommandLineError

TRACE_LEVELS = ("OFF", "TIMESTAMPS", "TENSORS")
TRACE_MODES = ("triton", "opentelemetry")
_TRACE_INTEGERS = ("rate", "count", "log-frequency")
_TRACE_SETTINGS = ("mode", "level", "file", *_TRACE_INTEGERS)


Restrictions = Sequence[tuple[tuple[str, ...], tuple[str, str]]]
"""Groups of categories, each with the header that it demands, and the value of that."""

_PROTOCOL_HEADER = "triton-grpc-protocol-"


def restricted_apis(groups: Restrictions) -> dict[str, tuple[str, str]]:
    """API category → header and value. A category may be in one group only."""
    return _restricted("api", groups)


def restricted_protocols(groups: Restrictions) -> dict[str, tuple[str, str]]:
    """The same of gRPC, where the header is the key that was given behind a prefix."""
    return _restricted("protocol", [(names, (_PROTOCOL_HEADER + key, value)) for names, (key, value) in groups])


def _restricted(kind: str, groups: Restrictions) -> dict[str, tuple[str, str]]:
    restricted: dict[str, tuple[str, str]] = {}
    for names, header in groups:
        for name in names:
            if name in restricted:
                raise CommandLineError(f"restricted {kind} '{name}' can not be specified in multiple config groups")
            restricted[name] = header
    return restricted


def scoped_settings(given: Sequence[tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    """Scope → setting → value; the last occurrence of a setting wins."""
    scopes: dict[str, dict[str, str]] = {}
    for scope, key, value in given:
        scopes.setdefault(scope, {})[key] = value
    return scopes


def cache_settings(given: Sequence[tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    """The one cache: {"local": {"size": bytes}}, or {}."""
    caches = scoped_settings(given)
    if len(caches) > 1:
        raise CommandLineError(
            "Error: found multiple cache configurations, but only a single cache is currently supported"
        )
    for cache, settings in caches.items():
        if cache != "local":
            raise CommandLineError(
                f"Error: there is no cache '{cache}' here; expected --cache-config=local,size=<bytes>"
            )
        if "size" not in settings:
            raise CommandLineError(f"Error: the local cache needs its size; got {', '.join(settings)}")
        size = v.leading_number(settings["size"])
        _named("cache-config=local,size", v.natural, size)
        caches[cache] = {"size": size}
    return caches


def trace_settings(given: Sequence[tuple[str, str, str]]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Mode → setting → values, checked as far as this server reads them (modes other than its own: passed on)."""
    modes: dict[str, dict[str, tuple[str, ...]]] = {}
    for mode, key, text in given:
        value = v.leading_number(text) if key in _TRACE_INTEGERS else text
        _check_trace_setting(mode, key, value)
        if not _is_trace_setting(mode, key):
            continue
        settings = modes.setdefault(mode, {})
        settings[key] = (*settings.get(key, ()), value) if key in ("level", "resource") else (value,)
    return modes


def unknown_settings(given: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """A warning for each setting that tritonserver ignores, of flags with their values."""
    known: Sequence[str]
    for flag, value in given:
        if flag == "trace-config" and not _is_trace_setting(*value[:2]):
            known = _TRACE_SETTINGS
        elif flag == "metrics-config" and value[0] not in METRICS_SETTINGS:
            known = METRICS_SETTINGS
        elif flag == "cache-config" and value[1] != "size":
            known = ("size",)
        else:
            continue
        yield f"Warning: '--{flag}' setting '{value[-2]}' has no effect: it is unknown; known are {', '.join(known)}"


def unread_numbers(given: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """A warning for each number that something follows, of flags with their values."""
    for flag, value in given:
        of_trace = flag == "trace-config" and value[1] in _TRACE_INTEGERS
        if not of_trace and not (flag == "cache-config" and value[1] == "size"):
            continue
        scope, key, text = value
        if (number := v.leading_number(text)) != text:
            yield v.unread(f"{flag}={scope}{',' if scope else ''}{key}={text}", number)


def _is_trace_setting(mode: str, key: str) -> bool:
    return mode == "opentelemetry" or key in _TRACE_SETTINGS


def _check_trace_setting(mode: str, key: str, value: str) -> None:
    if mode not in ("", *TRACE_MODES):
        raise CommandLineError(f"--trace-config: unknown mode '{mode}'; expected triton or opentelemetry")
    if key == "level" and value not in TRACE_LEVELS:
        raise CommandLineError(f"--trace-config: invalid level '{value}'; expected one of {', '.join(TRACE_LEVELS)}")
    if key == "mode" and value not in TRACE_MODES:
        raise CommandLineError(f"--trace-config: invalid mode '{value}'; expected triton or opentelemetry")
    if key in _TRACE_INTEGERS:
        _named(f"trace-config {key}", v.integer if key == "count" else v.natural, value)


def _named(name: str, parse: Callable[[str], int], text: str) -> None:
    try:
        parse(text)
    except CommandLineError as error:
        raise CommandLineError(f"--{name}: {error.message}") from error

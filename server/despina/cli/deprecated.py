"""tritonserver's deprecated flags: still followed, with a warning that names the successor (config §3.1, §8)."""

from collections.abc import Iterator, Sequence
from typing import Any

from despina.cli.parse import Given
from despina.cli.values import CommandLineError

_TRACE = {
    "trace_file": ("triton", "file"),
    "trace_rate": ("", "rate"),
    "trace_count": ("", "count"),
    "trace_log_frequency": ("triton", "log-frequency"),
}


def warn_deprecated(given: Sequence[Given]) -> Iterator[str]:
    """One line per deprecated flag, and one where it contradicts its successor."""
    values = {one.flag.name: one.value for one in given}
    for one in {one.flag.name: one.flag for one in given if one.flag.section == "DEPRECATED"}.values():
        instead = one.text.removeprefix("Use ").removesuffix(".")
        yield f"Warning: '--{one.name}' has been deprecated! Please use '{instead}' instead."
    if values.get("strict-model-config") is False and "disable-auto-complete-config" in values:
        yield (
            "Warning: Overriding deprecated '--strict-model-config' from False to True in favor of "
            "'--disable-auto-complete-config'!"
        )


def with_deprecated(values: dict[str, Any], repeated: dict[str, list[Any]]) -> None:
    """Rewrite deprecated flags in place as the flags that replaced them."""
    if values.pop("disable_auto_complete_config", False):
        values["strict_model_config"] = True
    size = values.pop("response_cache_byte_size", None)
    if size is not None:
        _exclude("response-cache-byte-size", "cache-config", repeated)
        if size > 0:
            repeated["cache_config"] = [("local", "size", str(size))]
    traces = [(mode, key, str(values.pop(name))) for name, (mode, key) in _TRACE.items() if name in values]
    traces += [("", "level", _level(level)) for level in repeated.pop("trace_level", ())]
    if traces:
        _exclude("trace-*", "trace-config", repeated)
        repeated["trace_config"] = traces


def _exclude(old: str, new: str, repeated: dict[str, list[Any]]) -> None:
    if repeated.get(new.replace("-", "_")):
        raise CommandLineError(
            f"Error: Incompatible flags --{old} and --{new} both provided. Please provide one or the other."
        )


def _level(level: str) -> str:
    """MIN and MAX are older names of TIMESTAMPS."""
    return "TIMESTAMPS" if level in ("MIN", "MAX") else level

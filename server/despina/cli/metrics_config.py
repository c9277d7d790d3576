"""`--metrics-config`: what is read of it, and what the user is told about the rest, which tritonserver ignores, too."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from despina.cli import values as v
from despina.cli.values import CommandLineError
from despina.settings import MetricsConfig

SETTINGS = ("counter_latencies", "histogram_latencies", "summary_latencies", "summary_quantiles")
_TURNED_BY = {"counter_latencies": "false", "histogram_latencies": "true", "summary_latencies": "true"}
"""The value that changes a switch from its default. As in tritonserver it does so wherever it stands."""


def metrics_settings(given: Sequence[tuple[str, str]]) -> MetricsConfig:
    """All occurrences as one value. The last quantiles count, of those of which any can be read."""
    config = MetricsConfig()
    for key, text in given:
        if key == "summary_quantiles":
            quantiles = tuple(pair for pair in map(_quantile, text.split(",")) if pair is not None)
            config = replace(config, summary_quantiles=quantiles or config.summary_quantiles)
        elif _TURNED_BY.get(key) == text:
            changes: dict[str, Any] = {key: text == "true"}
            config = replace(config, **changes)
    return config


def unread_metrics_settings(given: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """A warning for each value that has no effect, of flags with their values."""
    for flag, value in given:
        if flag != "metrics-config":
            continue
        key, text = value
        if key in _TURNED_BY and text not in ("true", "false"):
            yield f"Warning: '--metrics-config={key}={text}' has no effect: expected true or false, in small letters"
        elif key == "summary_quantiles":
            for pair in text.split(","):
                if pair and _quantile(pair) is None:
                    yield (
                        f"Warning: '{pair}' of '--metrics-config={key}={text}' has no effect: expected "
                        "<quantile>:<error>, with a quantile from 0 to 1"
                    )


def _quantile(pair: str) -> tuple[float, float] | None:
    """A quantile and its allowed error, of each the number at its beginning; None for what is no such pair."""
    quantile, _, error = pair.partition(":")
    try:
        numbers = _number(quantile), _number(error)
    except CommandLineError:
        return None
    return numbers if 0 <= numbers[0] <= 1 else None


def _number(text: str) -> float:
    return v.number(v.leading_number(text.strip(), "<float>"))

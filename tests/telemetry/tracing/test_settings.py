import builtins
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from despina.errors import InvalidArgument
from despina.telemetry.tracing.settings import TraceConfig, TraceSettings
from despina.telemetry.tracing.trace import Trace


class ListSink:
    """Keeps the ids of what it is given, per write."""

    def __init__(self) -> None:
        self.appended: list[list[int]] = []
        self.numbered: list[list[int]] = []
        self.closed = False

    def append(self, groups: Sequence[Sequence[Trace]]) -> None:
        self.appended.append([trace.id for group in groups for trace in group])

    def save_numbered(self, groups: Sequence[Sequence[Trace]]) -> None:
        self.numbered.append([trace.id for group in groups for trace in group])

    def close(self) -> None:
        self.closed = True


def tracing(config: TraceConfig | None = None, **common: str) -> tuple[TraceSettings, ListSink]:
    sink = ListSink()
    given = {key: tuple(value.split(",")) for key, value in common.items()}
    return TraceSettings(config or {"": given, "triton": {"file": ("t.json",)}}, sink), sink


def closed(trace: Trace | None) -> int:
    assert trace is not None
    trace.close()
    return trace.id


DEFAULT = {
    "trace_level": ["OFF"],
    "trace_rate": "1000",
    "trace_count": "-1",
    "log_frequency": "0",
    "trace_file": "",
    "trace_mode": "triton",
}


def test_without_flags_everything_has_its_default_in_the_order_of_the_protocol() -> None:
    assert json.dumps(TraceSettings().render()) == json.dumps(DEFAULT)
    assert json.dumps(TraceSettings().render("any")) == json.dumps(DEFAULT)


def test_flags_are_the_start_values() -> None:
    config = {"": {"rate": ("10",), "level": ("TIMESTAMPS", "TENSORS"), "count": ("5",)}}
    config["triton"] = {"file": ("/dev/null",), "log-frequency": ("3",)}
    settings = TraceSettings(config)
    assert settings.render() == {
        "trace_level": ["TIMESTAMPS", "TENSORS"],
        "trace_rate": "10",
        "trace_count": "5",
        "log_frequency": "3",
        "trace_file": "/dev/null",
        "trace_mode": "triton",
    }
    settings.close()


def test_tracing_without_a_file_cannot_be_turned_on() -> None:
    settings = TraceSettings()
    with pytest.raises(
        InvalidArgument, match=r"^Attempting to set invalid trace setting :trace file name is not given$"
    ):
        settings.update({"levels": ("TIMESTAMPS",), "rate": 9})
    assert settings.render() == DEFAULT
    settings.update({"levels": ()})
    settings.update({"rate": 50})
    assert settings.render("m")["trace_rate"] == "50"


@pytest.mark.parametrize(
    ("changes", "reason"), [({"rate": 0}, "sample rate must be non-zero"), ({"count": 0}, "")], ids=["rate", "count"]
)
def test_other_settings_that_trace_nothing_are_refused(changes: Mapping[str, Any], reason: str) -> None:
    settings, _ = tracing()
    with pytest.raises(InvalidArgument) as error:
        settings.update({"levels": ("TENSORS",), **changes})
    assert error.value.message == f"Attempting to set invalid trace setting :{reason}"


def test_a_model_inherits_what_it_has_not_set_and_forgets_what_is_cleared() -> None:
    settings, _ = tracing()
    settings.update({"rate": 5}, "m")
    settings.update({"rate": 7, "log_frequency": 2})
    assert [settings.render(model)["trace_rate"] for model in ("m", "other", None)] == ["5", "7", "7"]
    assert settings.render("m")["log_frequency"] == "2"
    settings.update({"rate": None}, "m")
    settings.update({"rate": None})
    assert [settings.render(model)["trace_rate"] for model in ("m", "other", None)] == ["1000", "1000", "1000"]


def test_a_refused_server_setting_changes_no_model_either() -> None:
    settings, _ = tracing()
    settings.update({"levels": ("TIMESTAMPS",)}, "m")
    with pytest.raises(InvalidArgument):
        settings.update({"rate": 0})
    assert settings.render("m")["trace_rate"] == "1000"
    assert settings.render()["trace_rate"] == "1000"


def test_nothing_is_sampled_while_the_level_is_off() -> None:
    settings, _ = tracing(rate="1")
    view = settings.settings_for("m")
    assert not view.active
    assert view.sample() is None


def test_every_nth_request_is_sampled_over_all_models_that_share_the_server_settings() -> None:
    settings, _ = tracing(rate="3", level="TIMESTAMPS")
    views = [settings.settings_for(name) for name in ("a", "b")]
    assert [views[turn % 2].sample() is not None for turn in range(6)] == [False, False, True, False, False, True]


def test_a_view_follows_every_change() -> None:
    settings, _ = tracing(rate="1")
    view = settings.settings_for("m")
    settings.update({"levels": ("TENSORS",)})
    first = view.sample()
    assert first is not None
    assert (first.timestamps, first.tensors) == (False, True)
    settings.update({"levels": ()}, "m")
    assert not view.active
    settings.update({"levels": None}, "m")
    assert view.active
    assert settings.settings_for("m") is view


def test_traces_without_limit_are_appended_as_they_come() -> None:
    settings, sink = tracing(rate="1", level="TIMESTAMPS")
    view = settings.settings_for("m")
    for _ in range(2):
        closed(view.sample())
    assert (sink.appended, sink.numbered) == ([[1], [2]], [])


def test_the_count_runs_out_and_its_traces_go_into_a_numbered_file() -> None:
    settings, sink = tracing(rate="1", level="TIMESTAMPS", count="2")
    view = settings.settings_for("m")
    first, second = view.sample(), view.sample()
    assert settings.render()["trace_count"] == "0"
    assert view.sample() is None
    closed(second)
    assert sink.numbered == []
    closed(first)
    assert sink.numbered == [[2, 1]]
    settings.close()
    assert (sink.appended, sink.closed) == ([], True)


def test_what_remains_of_a_count_survives_other_changes() -> None:
    settings, sink = tracing(rate="1", level="TIMESTAMPS")
    settings.update({"count": 3})
    closed(settings.settings_for("m").sample())
    settings.update({"log_frequency": 1})
    assert settings.render()["trace_count"] == "2"
    assert sink.appended == [[1]]


def test_the_log_frequency_cuts_files_and_the_rest_is_numbered_too() -> None:
    settings, sink = tracing({"": {"rate": ("1",), "level": ("TENSORS",)}, "triton": {"log-frequency": ("2",)}})
    view = settings.settings_for("m")
    for _ in range(3):
        closed(view.sample())
    assert sink.numbered == [[1, 2]]
    settings.close()
    assert sink.numbered == [[1, 2], [3]]


def test_a_request_under_way_ends_in_the_settings_it_began_with() -> None:
    settings, sink = tracing({"": {"rate": ("1",), "level": ("TENSORS",)}, "triton": {"log-frequency": ("5",)}})
    trace = settings.settings_for("m").sample()
    settings.update({"levels": ()})
    assert sink.numbered == []
    closed(trace)
    assert sink.numbered == [[1]]


def test_of_several_requests_under_way_the_last_one_has_all_written() -> None:
    settings, sink = tracing({"": {"rate": ("1",), "level": ("TENSORS",)}, "triton": {"log-frequency": ("5",)}})
    view = settings.settings_for("m")
    first, second = view.sample(), view.sample()
    settings.update({"levels": ()})
    closed(second)
    assert sink.numbered == []
    closed(first)
    assert sink.numbered == [[2, 1]]


@pytest.mark.parametrize("end", [lambda settings: settings.update({"log_frequency": None}, "m"), TraceSettings.close])
def test_what_a_model_with_settings_of_its_own_has_kept_is_written_at_their_end(
    end: Callable[[TraceSettings], None],
) -> None:
    settings, sink = tracing(rate="1", level="TIMESTAMPS")
    settings.update({"log_frequency": 5}, "m")
    closed(settings.settings_for("m").sample())
    assert sink.numbered == []
    end(settings)
    assert sink.numbered == [[1]]


def test_a_model_inherits_what_remains_of_the_count() -> None:
    settings, _ = tracing(rate="1", level="TIMESTAMPS", count="3")
    closed(settings.settings_for("m").sample())
    settings.update({"log_frequency": 5}, "m")
    assert settings.render("m")["trace_count"] == "2"


def test_a_request_of_a_trace_elsewhere_does_not_use_the_count_up() -> None:
    settings, _ = tracing({"": {"level": ("TIMESTAMPS",), "mode": ("opentelemetry",), "count": ("2",)}})
    assert settings.settings_for("m").sample({"traceparent": "00-0a-0b-01"}) is not None
    assert settings.render()["trace_count"] == "2"


def test_a_trace_context_counts_only_in_opentelemetry_mode() -> None:
    carrier = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    triton, _ = tracing(level="TIMESTAMPS")
    assert triton.settings_for("m").sample(carrier) is None
    spans, _ = tracing({"": {"level": ("TIMESTAMPS",), "mode": ("opentelemetry",)}})
    trace = spans.settings_for("m").sample(carrier)
    assert trace is not None
    assert trace.carrier == carrier
    assert spans.settings_for("m").sample({}) is None


def test_the_opentelemetry_mode_shows_its_options_instead_of_files() -> None:
    config = {"": {"mode": ("opentelemetry",), "rate": ("7",)}, "opentelemetry": {"url": ("http://c/v1",)}}
    settings, _ = tracing(config)
    assert json.dumps(settings.render()) == json.dumps(
        {
            "trace_level": ["OFF"],
            "trace_rate": "7",
            "trace_count": "-1",
            "trace_mode": "opentelemetry",
            "url": "http://c/v1",
        }
    )


def test_without_opentelemetry_the_mode_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError(f"No module named '{name}'")
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InvalidArgument, match=r"pip install 'despina\[otel\]'"):
        TraceSettings({"": {"mode": ("opentelemetry",)}})

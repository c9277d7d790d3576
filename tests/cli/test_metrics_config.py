import pytest

from despina.cli.metrics_config import metrics_settings, unread_metrics_settings
from despina.cli.settings_from_flags import read_command_line
from despina.cli.values import CommandLineError
from despina.settings import MetricsConfig


def test_metrics_settings() -> None:
    given = [("summary_latencies", "true"), ("summary_quantiles", "0.5:0.1,0.9:0.01"), ("counter_latencies", "false")]
    assert metrics_settings(given) == MetricsConfig(
        counter_latencies=False, summary_latencies=True, summary_quantiles=((0.5, 0.1), (0.9, 0.01))
    )


@pytest.mark.parametrize("order", [("true", "false"), ("false", "true")])
def test_what_turns_a_switch_wins_wherever_it_stands(order: tuple[str, str]) -> None:
    given = [(key, text) for key in ("counter_latencies", "summary_latencies") for text in order]
    assert metrics_settings(given) == MetricsConfig(counter_latencies=False, summary_latencies=True)


@pytest.mark.parametrize("text", ["TRUE", "1", "on", "0", "False", "maybe", "true=x"])
@pytest.mark.parametrize("key", ["counter_latencies", "histogram_latencies", "summary_latencies"])
def test_other_values_of_a_switch_have_no_effect_and_that_is_said(key: str, text: str) -> None:
    assert metrics_settings([(key, text)]) == MetricsConfig()
    (line,) = unread_metrics_settings([("metrics-config", (key, text))])
    assert line.startswith(f"Warning: '--metrics-config={key}={text}' has no effect: expected true or false")


@pytest.mark.parametrize(
    ("texts", "quantiles", "unread"),
    [
        (["0.5:0.05,a"], [0.5], ["a"]),
        (["0.5:x,0.7:0.1"], [0.7], ["0.5:x"]),
        (["0.5:0.05x, .9:.01"], [0.5, 0.9], []),
        (["0.5z:0.1:3"], [0.5], []),
        (["0:0.1,1:0"], [0.0, 1.0], []),
        (["0.3:0.1", "0.7:0.1", "x:y"], [0.7], ["x:y"]),
        (["1.5:0.1,-1:0.1,nan:0.1,0.2:0.1,"], [0.2], ["1.5:0.1", "-1:0.1", "nan:0.1"]),
    ],
)
def test_pairs_that_can_be_read_are_the_quantiles(texts: list[str], quantiles: list[float], unread: list[str]) -> None:
    given = [("summary_quantiles", text) for text in texts]
    assert [quantile for quantile, _ in metrics_settings(given).summary_quantiles] == quantiles
    lines = list(unread_metrics_settings([("metrics-config", pair) for pair in given]))
    assert [line.split("'")[1] for line in lines] == unread


@pytest.mark.parametrize("text", ["0.5", "a:b", "0.5:", ":", ","])
def test_the_default_quantiles_stay_where_none_can_be_read(text: str) -> None:
    assert metrics_settings([("summary_quantiles", text)]) == MetricsConfig()


def test_a_setting_without_a_value_is_refused() -> None:
    with pytest.raises(CommandLineError, match="--metrics-config option format is"):
        read_command_line(["--model-repository=r", "--metrics-config=summary_quantiles="])


def test_a_command_line_with_such_values_starts_a_server_that_warns() -> None:
    line = read_command_line(["--model-repository=r", "--metrics-config=summary_latencies=maybe"])
    assert [each for each in line.warnings if "summary_latencies=maybe" in each]

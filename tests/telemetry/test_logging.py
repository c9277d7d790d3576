import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from despina.telemetry.logging import LineFormatter, LogSettings, escapes_messages, log_table, verbose

TIME = 1795363984.517938  # 2026-11-22 16:13:04.517938 UTC


def record(message: str, level: int = logging.INFO) -> logging.LogRecord:
    made = logging.LogRecord("despina.x", level, "/somewhere/module.py", 273, message, None, None)
    made.created, made.process = TIME, 10759
    return made


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[LogSettings]:
    made = LogSettings(log_file=str(tmp_path / "log"))
    made.apply()
    yield made
    made.close()


def messages(settings: LogSettings) -> list[str]:
    return re.findall(r'\] "(.*)"', Path(settings.log_file).read_text())


@pytest.mark.parametrize(
    ("log_format", "level", "line"),
    [
        ("default", logging.INFO, 'I1122 16:13:04.517938 10759 module.py:273] "hello"'),
        ("default", logging.WARNING, 'W1122 16:13:04.517938 10759 module.py:273] "hello"'),
        ("default", logging.ERROR, 'E1122 16:13:04.517938 10759 module.py:273] "hello"'),
        ("default", logging.DEBUG, 'I1122 16:13:04.517938 10759 module.py:273] "hello"'),
        ("ISO8601", logging.ERROR, '2026-11-22T16:13:04Z E 10759 module.py:273] "hello"'),
    ],
)
def test_lines_look_like_tritonservers(log_format: str, level: int, line: str) -> None:
    assert LineFormatter(log_format).format(record("hello", level)) == line


def test_a_message_stays_on_one_line() -> None:
    assert LineFormatter("default").format(record('a "b"\nc')).endswith('] "a \\"b\\"\\nc"')


def test_a_traceback_follows_its_line() -> None:
    made = record("failed", logging.ERROR)
    try:
        raise ValueError("reason")
    except ValueError:
        made.exc_info = sys.exc_info()
    lines = LineFormatter("default").format(made).splitlines()
    assert lines[0].endswith('"failed"')
    assert lines[-1] == "ValueError: reason"


def test_a_table_is_logged_as_it_is(settings: LogSettings) -> None:
    log_table(logging.getLogger("despina.x"), "+--+\n|  |")
    head, *table = Path(settings.log_file).read_text().splitlines()
    assert re.fullmatch(r"I\d{4} [\d:.]+ \d+ test_logging\.py:\d+\] ", head)
    assert table == ["+--+", "|  |", ""]


def test_switches_take_effect_at_run_time(settings: LogSettings) -> None:
    logger = logging.getLogger("despina.x")
    logger.info("1")
    settings.log_info = False
    settings.apply()
    logger.info("2")
    logger.warning("3")
    settings.log_warning, settings.log_info = False, True
    settings.apply()
    logger.warning("4")
    logger.info("5")
    assert messages(settings) == ["1", "3", "5"]


def test_errors_can_be_switched_off(settings: LogSettings) -> None:
    settings.log_info = settings.log_warning = settings.log_error = False
    settings.apply()
    logging.getLogger("despina").error("lost")
    assert messages(settings) == []


def test_verbose_levels(settings: LogSettings) -> None:
    logger = logging.getLogger("despina_backends.x")
    logger.log(verbose(1), "off")
    assert not logger.isEnabledFor(verbose(1))
    settings.log_verbose_level = 2
    settings.apply()
    for level in (1, 2, 3):
        logger.log(verbose(level), str(level))
    assert messages(settings) == ["1", "2"]


def test_verbose_does_not_bring_switched_off_information_back(settings: LogSettings) -> None:
    settings.log_info, settings.log_verbose_level = False, 1
    settings.apply()
    logging.getLogger("despina").info("information")
    logging.getLogger("despina").debug("detail")
    assert messages(settings) == ["detail"]


def test_the_format_changes_at_run_time(settings: LogSettings) -> None:
    settings.log_format = "ISO8601"
    settings.apply()
    logging.getLogger("despina").info("x")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ I ", Path(settings.log_file).read_text())


def test_applying_twice_logs_once(settings: LogSettings) -> None:
    settings.apply()
    logging.getLogger("despina").info("once")
    assert messages(settings) == ["once"]


def test_a_file_that_was_moved_away_is_written_anew(settings: LogSettings, tmp_path: Path) -> None:
    logging.getLogger("despina").info("before")
    Path(settings.log_file).rename(tmp_path / "log.1")
    logging.getLogger("despina").info("after")
    assert messages(settings) == ["after"]
    assert '"before"' in (tmp_path / "log.1").read_text()


def test_a_file_that_cannot_be_written_anew_keeps_nobody_from_working(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    settings = LogSettings(log_file=str(folder / "log"))
    settings.apply()
    try:
        folder.rename(tmp_path / "elsewhere")
        logging.getLogger("despina").info("lost")
        assert "FileNotFoundError" in capsys.readouterr().err
        folder.mkdir()
        logging.getLogger("despina").info("found")
        assert messages(settings) == ["found"]
    finally:
        settings.close()


def test_warnings_of_what_serves_http_are_lines_like_all_others(settings: LogSettings) -> None:
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("asyncio").error("Task was destroyed")
    assert messages(settings) == ["Invalid HTTP request received.", "Task was destroyed"]


def test_without_a_file_warnings_go_to_stderr_and_the_rest_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    settings = LogSettings(log_verbose_level=1)
    settings.apply()
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logging.getLogger("despina").log(level, str(level))
    settings.close()
    out, err = capsys.readouterr()
    assert re.findall(r'"(\d+)"\n', out) == ["10", "20"]
    assert re.findall(r'"(\d+)"\n', err) == ["30", "40"]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, '"a\\nb"'),
        ({"TRITON_SERVER_ESCAPE_LOG_MESSAGES": "1"}, '"a\\nb"'),
        ({"TRITON_SERVER_ESCAPE_LOG_MESSAGES": "0"}, "a\nb"),
    ],
)
def test_messages_are_escaped_unless_the_environment_says_no(environment: dict[str, str], expected: str) -> None:
    line = LineFormatter("default", escapes_messages(environment)).format(record("a\nb"))
    assert line == f"I1122 16:13:04.517938 10759 module.py:273] {expected}"


def test_a_log_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        LogSettings(log_file=str(tmp_path / "missing" / "log")).apply()


def test_a_log_on_a_full_disk_is_closed_without_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    settings = LogSettings(log_file="/dev/full")
    settings.apply()
    logging.getLogger("despina").error("lost")
    settings.close()
    assert "No space left on device" in capsys.readouterr().err

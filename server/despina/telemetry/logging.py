"""The server's log: tritonserver's two line formats and its switches, on top of the standard library's loggers.

A verbose level n of `--log-verbose` shows records of the levels `verbose(1)` to `verbose(n)`. `verbose(1)` is DEBUG.
"""

import json
import logging
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler

LOGGERS = ("despina", "despina_backends")
FOREIGN_LOGGERS = ("asyncio", "uvicorn")
"""Of these only warnings and errors are logged, at the level that they have."""
FLAGS = ("log_info", "log_warning", "log_error")
FORMATS = ("default", "ISO8601")
FILE_IS_FIXED = "log file location can not be updated through network protocol"
_LETTERS = ((logging.CRITICAL, "F"), (logging.ERROR, "E"), (logging.WARNING, "W"))


def verbose(level: int) -> int:
    """The standard library's level for a message of verbose level `level` (1 or more)."""
    return max(1, logging.DEBUG + 1 - level)


def as_level(number: int) -> int:
    """The verbose level that a client's number is: one of 32 bits, and 0 where that is below 0."""
    level = number % (1 << 32)
    return level if level < 1 << 31 else 0


def escapes_messages(environment: Mapping[str, str]) -> bool:
    """Whether messages are written as JSON strings, which nobody can forge lines with."""
    return environment.get("TRITON_SERVER_ESCAPE_LOG_MESSAGES", "1") != "0"


def log_table(logger: logging.Logger, text: str) -> None:
    """Log lines as they are, below a line of their own; for tables."""
    logger.info(text, extra={"verbatim": True}, stacklevel=2)


class LineFormatter(logging.Formatter):
    """Lines like `I1122 16:13:24.517938 10759 module.py:273] "message"`, with ISO8601
    `2026-11-22T16:13:24Z I 10759 module.py:273] "message"`.

    Times are UTC. The message is one JSON string, so a record is one line, unless `escape` is off; a traceback follows
    on lines of its own.
    """

    def __init__(self, log_format: str, escape: bool = True) -> None:
        super().__init__()
        self._iso = log_format == "ISO8601"
        self._escape = escape

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if hasattr(record, "verbatim"):
            text = f"\n{message}\n"
        else:
            text = json.dumps(message, ensure_ascii=False) if self._escape else message
        line = f"{self._when(record)} {record.process} {record.filename}:{record.lineno}] {text}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line

    def _when(self, record: logging.LogRecord) -> str:
        letter = next((letter for level, letter in _LETTERS if record.levelno >= level), "I")
        time = datetime.fromtimestamp(record.created, UTC)
        return f"{time:%Y-%m-%dT%H:%M:%SZ} {letter}" if self._iso else f"{letter}{time:%m%d %H:%M:%S.%f}"


class Console(logging.Handler):
    """Warnings and errors to stderr, everything else to stdout, as in tritonserver."""

    def emit(self, record: logging.LogRecord) -> None:
        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        try:
            stream.write(self.format(record) + "\n")
            stream.flush()
        except Exception:
            self.handleError(record)


class LogFile(WatchedFileHandler):
    """A file that whoever rotates logs may move away: the next record begins a new one."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:  # of opening it; whoever logs must not fail for that
            self.handleError(record)


@dataclass(slots=True)
class LogSettings:
    """The switches, as the logging extension shows them (protocol §1.15), and `escape`, which cannot be changed later:
    whether messages are JSON strings. Changes count from the next `apply`."""

    log_file: str = ""
    log_info: bool = True
    log_warning: bool = True
    log_error: bool = True
    log_verbose_level: int = 0
    log_format: str = "default"
    escape: bool = True
    on_apply: Callable[[], None] | None = field(default=None, init=False, repr=False, compare=False)
    """Called at the end of every `apply`: other processes of the server have loggers of their own."""
    _output: logging.Handler | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def switches(self) -> dict[str, object]:
        """Those that can be changed, by the names of the logging extension."""
        return {
            "log_info": self.log_info,
            "log_warning": self.log_warning,
            "log_error": self.log_error,
            "log_verbose_level": self.log_verbose_level,
            "log_format": self.log_format,
        }

    def apply(self) -> None:
        """Bring the loggers in line with the switches. Raises OSError when the log file cannot be opened."""
        if self._output is None:
            self._output = self._open()
        self._output.setFormatter(LineFormatter(self.log_format, self.escape))
        for name in LOGGERS:
            logging.getLogger(name).setLevel(self._lowest())
        if self.on_apply is not None:
            self.on_apply()

    def wants(self, record: logging.LogRecord) -> bool:
        """Whether the switches let a record through."""
        if record.levelno >= logging.ERROR:
            return self.log_error
        if record.levelno >= logging.WARNING:
            return self.log_warning
        if record.levelno >= logging.INFO:
            return self.log_info
        return record.levelno >= verbose(self.log_verbose_level) if self.log_verbose_level else False

    def close(self) -> None:
        """Take the output away from the loggers and close the file."""
        if self._output is None:
            return
        for name in LOGGERS:
            logger = logging.getLogger(name)
            logger.removeHandler(self._output)
            logger.propagate = True
            logger.setLevel(logging.NOTSET)
        for name in FOREIGN_LOGGERS:
            logging.getLogger(name).removeHandler(self._output)
        with suppress(OSError):  # where the disk is full: each line that was lost has said so
            self._output.close()
        self._output = None

    def _open(self) -> logging.Handler:
        output = LogFile(self.log_file) if self.log_file else Console()
        output.addFilter(self.wants)
        for name in LOGGERS:
            logger = logging.getLogger(name)
            logger.addHandler(output)
            logger.propagate = False
        for name in FOREIGN_LOGGERS:
            logging.getLogger(name).addHandler(output)
        return output

    def _lowest(self) -> int:
        """Below this level no record is even made: a verbose message costs one comparison while verbose is off."""
        if self.log_verbose_level:
            return verbose(self.log_verbose_level)
        switches = ((self.log_info, logging.INFO), (self.log_warning, logging.WARNING), (self.log_error, logging.ERROR))
        return next((level for on, level in switches if on), logging.CRITICAL + 1)

"""Log lines of a service: `2021-02-18 09:30:00,123 I [42] despina.score - message`, in UTC. Those of workers are on
stdout."""

import json
import logging
import logging.config
import time
from typing import Any

from despina.deploy.score.settings import ScoreSettings
from despina.errors import InvalidArgument

FILE = "logging.json"


class LineFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname).1s [%(process)d] %(name)s - %(message)s")


def log_to_stderr() -> None:
    """For processes that run no script."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def configure_logs(settings: ScoreSettings) -> None:
    """Applies the script's own `logging.json`, if it has one, on top of ours. Raises InvalidArgument: that file is not
    a logging configuration, or the log level has no meaning."""
    if settings.log_level not in logging.getLevelNamesMapping():
        levels = "DEBUG, INFO, WARNING, ERROR or CRITICAL"
        raise InvalidArgument(f"AZUREML_LOG_LEVEL={settings.log_level}: expected {levels}")
    logging.config.dictConfig(_ours(settings.log_level))
    path = settings.app_root / FILE
    if path.is_file():
        try:
            logging.config.dictConfig(json.loads(path.read_bytes()))
        except (ValueError, TypeError, AttributeError, ImportError) as error:
            raise InvalidArgument(f"{path} is not a logging configuration: {error}") from None


def _ours(level: str) -> dict[str, Any]:
    quiet = {"level": level, "handlers": ["lines"], "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": LineFormatter}},
        "handlers": {"lines": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "line"}},
        "loggers": {
            "despina.score": quiet,
            # Scripts that log under the name of the server they were written for.
            "azmlinfsrv": quiet,
        },
    }

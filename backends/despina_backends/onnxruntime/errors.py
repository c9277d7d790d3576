"""ONNX Runtime's exceptions as errors for the client."""

import logging
import re

from despina_backends.base import BackendError

_log = logging.getLogger(__name__)

RUNTIME_EXCEPTION = 6
"""OrtErrorCode used where ONNX Runtime's Python interface does not say which."""

_CODED = re.compile(r"\[ONNXRuntimeError\] : (\d+) : \w+ : (.*)", re.DOTALL)
_NO_LOCALE = re.compile(r"Failed to construct locale with name:([^:\s]+)")


def runtime_error(error: Exception) -> BackendError:
    """`onnx runtime error <OrtErrorCode>: <message>`.

    `run` and session creation put the code in the text; `run_with_iobinding` drops it.
    """
    if isinstance(error, BackendError):
        return error
    text = str(error)
    if match := _CODED.match(text):
        return BackendError(f"onnx runtime error {match[1]}: {match[2]}")
    return BackendError(f"onnx runtime error {RUNTIME_EXCEPTION}: {text.removeprefix('Error in execution: ')}")


def advise(text: str) -> None:
    """Log what to do about a model that did not load, where ONNX Runtime's `text` does not say it."""
    if match := _NO_LOCALE.search(text):
        _log.warning(
            "the model changes the case of texts, for which ONNX Runtime needs the system's locale %s: on Debian and "
            "Ubuntu, `apt-get install locales && localedef -i %s -f UTF-8 %s`",
            match[1],
            match[1].partition(".")[0],
            match[1],
        )

"""ONNX Runtime's exceptions as errors for the client."""

import re

from despina_backends.base import BackendError

RUNTIME_EXCEPTION = 6
"""OrtErrorCode used where ONNX Runtime's Python interface does not say which."""

_CODED = re.compile(r"\[ONNXRuntimeError\] : (\d+) : \w+ : (.*)", re.DOTALL)


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

"""`@rawhttp`: run() wants the request itself, not its body."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

MARK = "__rawhttp__"
REAL_MODULES = ("azureml.contrib.services.aml_request", "azureml_inference_server_http.api.aml_request")


def rawhttp(function: Function) -> Function:
    """Marks an entry script's run()."""
    setattr(function, MARK, True)
    return function


def is_raw(function: Callable[..., Any]) -> bool:
    """Whether run() is marked, by us or by an installed original, which leaves a flag in its module."""
    if getattr(function, MARK, False):
        return True
    return any(getattr(sys.modules.get(name), "_rawHttpRequested", False) for name in REAL_MODULES)

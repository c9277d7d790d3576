"""Stand-ins for the modules that entry scripts import, where the originals are not installed.

A script begins with `from azureml.contrib.services.aml_request import rawhttp`. Installed packages always win: only
a module that cannot be found is made, so nothing of theirs is replaced.
"""

import importlib.util
import sys
from types import ModuleType
from typing import Any

from despina.deploy.score.model_path import ModelNotFoundException, get_model_path
from despina.deploy.score.rawhttp import rawhttp
from despina.deploy.score.request import AMLRequest
from despina.deploy.score.response import AMLResponse


class Model:
    """The part of the SDK's Model that works inside a service."""

    get_model_path = staticmethod(get_model_path)


REQUEST: dict[str, Any] = {"rawhttp": rawhttp, "AMLRequest": AMLRequest}
RESPONSE: dict[str, Any] = {"AMLResponse": AMLResponse}

MODULES: dict[str, dict[str, Any]] = {
    "azureml.contrib.services.aml_request": REQUEST,
    "azureml.contrib.services.aml_response": RESPONSE,
    "azureml_inference_server_http.api.aml_request": REQUEST,
    "azureml_inference_server_http.api.aml_response": RESPONSE,
    "azureml.core": {"Model": Model},
    "azureml.core.model": {"Model": Model, "ModelNotFoundException": ModelNotFoundException},
}


def install_shims() -> list[str]:
    """Makes what is missing; returns the names of the modules it made."""
    # An installed package must not be split into its own half and ours, so parents are asked about first.
    missing = [name for name in MODULES if not _exists(name)]
    for name in missing:
        vars(_module(name)).update(MODULES[name])
    return missing


def _exists(name: str) -> bool:
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None
    except (ModuleNotFoundError, AttributeError, ValueError):
        return False


def _module(name: str) -> ModuleType:
    """The module of that name, made with its parents where they are missing."""
    if name in sys.modules:
        return sys.modules[name]
    parent, _, leaf = name.rpartition(".")
    if parent and _exists(parent) and parent not in sys.modules:
        importlib.import_module(parent)
    module = ModuleType(name, "Stand-in for a package that is not installed.")
    module.__path__ = []
    if parent:
        setattr(_module(parent), leaf, module)
    sys.modules[name] = module
    return module

"""Backends by name, imported when a model first asks for one.

A new backend is one module and one line in `BACKENDS`; a user's own is named `package.module:attribute` in the
`backend` field of the model's configuration. The attribute is a `BackendFactory`.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import cast

from despina_backends.base import BackendError, BackendFactory

BACKENDS: Mapping[str, str] = {
    "identity": "despina_backends.identity:load",
    "onnxruntime": "despina_backends.onnxruntime:load",
}


def resolve(name: str) -> BackendFactory:
    """The factory behind `name`. Raises BackendError (INVALID_ARG) when there is none, saying what would work."""
    target = BACKENDS.get(name, name)
    module_name, separator, attribute = target.partition(":")
    if not (module_name and separator and attribute):
        known = ", ".join(sorted(BACKENDS))
        raise BackendError(
            f"unknown backend '{name}': expected one of {known}, or 'package.module:attribute'", "INVALID_ARG"
        )
    try:
        factory = getattr(import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise BackendError(f"unable to import backend '{name}': {error}", "INVALID_ARG") from error
    if not callable(factory):
        raise BackendError(f"backend '{name}' is no backend: expected a callable taking LoadOptions", "INVALID_ARG")
    return cast(BackendFactory, factory)

"""The protobuf message that config.pbtxt is written in.

tritonclient ships its generated module inside `tritonclient.grpc`, a package that needs grpcio, which we do not want.
The module itself needs protobuf only, so it is loaded by its path and kept out of `sys.modules`. Importing
`tritonclient.grpc` later is safe: protobuf accepts the same file twice and hands out the same message classes.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

_NAME = "tritonclient.grpc.model_config_pb2"


def _load() -> ModuleType:
    loaded = sys.modules.get(_NAME)
    if loaded is not None:
        return loaded
    spec = importlib.util.spec_from_file_location("despina.config.model_config_pb2", path_of("model_config_pb2.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def path_of(module: str) -> Path:
    """Where a module of `tritonclient.grpc` lies. Raises ImportError."""
    package = importlib.util.find_spec("tritonclient")
    folders = (package.submodule_search_locations or ()) if package else ()
    for folder in folders:
        path = Path(folder, "grpc", module)
        if path.is_file():
            return path
    raise ImportError(f"tritonclient/grpc/{module} was not found: install tritonclient 2.73 or newer")


model_config_pb2: Any = _load()

Message: TypeAlias = Any
"""A message inside of a ModelConfig: an instance group, an input, ..."""

Field: TypeAlias = Any
"""The descriptor of a message's field."""

if TYPE_CHECKING:

    class ModelConfig:
        """`inference.ModelConfig`. Its class is built at run time, so type checkers see fields of any type."""

        def __init__(self, **fields: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

else:
    ModelConfig = model_config_pb2.ModelConfig


def copy_of(config: ModelConfig) -> ModelConfig:
    """A deep copy."""
    copied = ModelConfig()
    copied.CopyFrom(config)
    return copied

"""The protobuf messages of `inference.GRPCInferenceService`.

tritonclient ships them in `tritonclient.grpc`, a package that needs grpcio, which we do not want. Its module of
messages is not imported but read: the description of the service that is in it goes into protobuf's pool, where it
refers to that of the configuration (`config/proto.py`). Importing `tritonclient.grpc` later is safe: protobuf accepts
the same file twice.
"""

import ast
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, message_factory  # type: ignore[import-untyped]  # ships no types
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # ships no types

from despina.config.proto import path_of
from despina.errors import Internal

PACKAGE = "inference"


def _description(module: Path) -> bytes:
    """The serialized FileDescriptorProto in a module that protoc made."""
    for node in ast.walk(ast.parse(module.read_bytes())):
        match node:
            case ast.Call(func=ast.Attribute(attr="AddSerializedFile"), args=[ast.Constant(value=bytes(description))]):
                return description
    raise ImportError(f"{module} describes no messages: install another version of tritonclient, 2.73 or newer")


descriptor_pool.Default().AddSerializedFile(_description(path_of("service_pb2.py")))


def message_class(name: str) -> Any:
    """The class of a message of the service, as in `ModelInferRequest`. Its fields are of any type for type checkers,
    since it is built at run time."""
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(f"{PACKAGE}.{name}"))


def parse(message: Any, data: bytes | memoryview) -> Any:
    """A message of the class `message` from its bytes. Raises Internal."""
    try:
        return message.FromString(data)
    except DecodeError:
        raise Internal("Unable to parse request") from None

"""Requests to the application that serves an entry script, without a server."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from despina.deploy.score.app import ScoreApp


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def message(self) -> Any:
        return json.loads(self.body)["message"]


Start = Callable[..., ScoreApp]


def ask(app: ScoreApp, method: str = "POST", path: str = "/score", body: bytes = b"", **headers: str) -> Answer:
    got: dict[str, Any] = {}
    path, _, query = path.partition("?")
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_TYPE": headers.pop("content_type", ""),
        "wsgi.input": io.BytesIO(body),
        **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
    }
    chunks = app(environ, lambda status, headers: got.update(status=status, headers=headers))
    return Answer(int(got["status"].split()[0]), got["headers"], b"".join(chunks))


ECHO = "def init(): pass\ndef run(data): return {'got': data}\n"

RAW = "from azureml.contrib.services.aml_request import rawhttp\n"

RESPONSE = "from azureml.contrib.services.aml_response import AMLResponse\n"

SCHEMA = """
import numpy as np
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType

def init(): pass

@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0]])))
@input_schema("scale", StandardPythonParameterType(2))
@output_schema(StandardPythonParameterType([1.0]))
def run(data, scale=2):
    return (data * scale).sum(axis=1).tolist()
"""

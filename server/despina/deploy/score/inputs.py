"""How run() gets its input: as text, as the request, or as arguments."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from despina.deploy.score.request import AMLRequest


class BadInput(Exception):
    """A request that cannot be turned into arguments: the status and the message of its answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


ReadArguments = Callable[[AMLRequest], dict[str, Any]]
"""A request's keyword arguments for run(). Raises BadInput when it does not give them."""


def as_text(request: AMLRequest) -> str:
    """POST: the body as text. GET: the query as a JSON object, in text."""
    if request.method == "GET":
        return json.dumps(_query(request))
    _only_post(request)
    try:
        return str(request.data, "utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(400, f"Input cannot be decoded as UTF-8: {error}") from None


def as_arguments(parameters: Sequence[inspect.Parameter], request: AMLRequest) -> dict[str, Any]:
    """One JSON value for each parameter, from the keys of the body (POST) or of the query (GET)."""
    values = _query(request) if request.method == "GET" else _body(request)
    return {parameter.name: _value(parameter, values) for parameter in parameters}


def _value(parameter: inspect.Parameter, values: Mapping[str, Any]) -> Any:
    value = values.get(parameter.name, parameter.default)
    if value is inspect.Parameter.empty:
        raise BadInput(400, f"A value is not provided for the {parameter.name!r} parameter.")
    return value


def _body(request: AMLRequest) -> dict[str, Any]:
    _only_post(request)
    if not request.is_json:
        raise BadInput(415, "Expects Content-Type to be application/json")
    if not request.data:
        raise BadInput(400, "POST body is empty. Expecting a JSON dictionary.")
    try:
        body = json.loads(request.data)
    except ValueError as error:
        raise BadInput(400, f"POST body could not be decoded as JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadInput(400, "POST body should be a JSON dictionary.")
    return body


def _query(request: AMLRequest) -> dict[str, Any]:
    values = {key: [_json_or_text(one) for one in request.args.getlist(key)] for key in request.args}
    return {key: many[0] if len(many) == 1 else many for key, many in values.items()}


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _only_post(request: AMLRequest) -> None:
    if request.method != "POST":
        raise BadInput(405, "Method not allowed")

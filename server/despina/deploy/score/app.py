"""The WSGI application of one worker: `/`, `/score`, `/swagger.json`."""

import logging
import time
import uuid
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import quote

from despina import __version__
from despina.deploy.score.cors import cors_headers
from despina.deploy.score.identity import IdTooLong, RequestIds, read_ids
from despina.deploy.score.inputs import BadInput
from despina.deploy.score.invoke import Caller, Result, ScoringTimeout
from despina.deploy.score.request import AMLRequest
from despina.deploy.score.response import FAILED, AMLResponse, error_response
from despina.deploy.score.script import HEADERS, Script
from despina.deploy.score.settings import ScoreSettings
from despina.deploy.score.swagger import NoSuchSwagger, Swagger

log = logging.getLogger("despina.score")

METHODS = {"/": ("GET", "HEAD"), "/swagger.json": ("GET", "HEAD"), "/score": ("GET", "POST", "OPTIONS", "HEAD")}


class StartResponse(Protocol):
    def __call__(self, status: str, headers: list[tuple[str, str]], /) -> object: ...


class ScoreApp:
    """Answers requests with the script's run(); init() has run already."""

    def __init__(
        self,
        settings: ScoreSettings,
        script: Script,
        swagger: Swagger,
        caller: Caller,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._settings = settings
        self._script = script
        self._swagger = swagger
        self._caller = caller
        self._new_id = new_id

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        started = time.perf_counter()
        request = AMLRequest(environ)
        response, ids = self._identified(request)
        response.headers += self._common_headers(request, ids)
        body: Iterable[bytes] = () if request.method == "HEAD" else response.body
        if isinstance(body, list):
            response.set_header("Content-Length", str(sum(map(len, body))))
        if request.path != "/":
            self._log(request, response, started)
        start_response(_status_line(response.status_code), response.headers)
        return body

    def close(self) -> None:
        """Ends what coroutines of the script left running."""
        self._caller.close()

    def _identified(self, request: AMLRequest) -> tuple[AMLResponse, RequestIds]:
        try:
            ids = read_ids(request.headers, self._new_id)
        except IdTooLong as error:
            return error_response(431, error.message), error.known
        try:
            return self._route(request), ids
        except Exception:
            log.exception("%s: the answer could not be made", ids.request)
            message = "An unexpected internal error occurred. Check the logs for more info."
            return error_response(500, message), ids

    def _route(self, request: AMLRequest) -> AMLResponse:
        path = request.path
        allowed = METHODS.get(path)
        if allowed is None:
            return error_response(404, f"The requested URL {path} was not found on the server.")
        if request.method == "OPTIONS" and path != "/score":
            response = AMLResponse("", 200)
            response.set_header("Allow", ", ".join(allowed))
            return response
        if request.method not in allowed:
            response = error_response(405, "The method is not allowed for the requested URL.")
            response.set_header("Allow", ", ".join(allowed))
            return response
        if path == "/":
            return AMLResponse("Healthy", 200)
        return self._score(request) if path == "/score" else self._describe(request)

    def _describe(self, request: AMLRequest) -> AMLResponse:
        try:
            return AMLResponse(self._swagger.get(request.args.get("version")), 200, json_str=True)
        except NoSuchSwagger as error:
            return error_response(404, str(error))

    def _score(self, request: AMLRequest) -> AMLResponse:
        try:
            arguments = self._script.read_arguments(request)
        except BadInput as error:
            if request.method == "OPTIONS":  # a browser asks before it sends; the cross-origin headers are the answer
                return AMLResponse("", 200)
            return error_response(error.status, error.message)
        if self._script.wants_headers:
            arguments[HEADERS] = dict(request.headers)
        try:
            result = self._caller.call(self._script.run, **arguments)
        except ScoringTimeout:
            limit = self._settings.scoring_timeout_ms
            log.error("run() was stopped after %d ms", limit)
            return error_response(500, f"Scoring timeout after {limit} ms", failed=True)
        except BaseException:
            # A script that calls sys.exit(), awaits what was cancelled, or whose Rust library panics has failed like
            # any other: gunicorn would answer with a page of its own.
            log.exception("run() failed")
            message = "An unexpected error occurred in scoring script. Check the logs for more info."
            return error_response(500, message, failed=True)
        return _answer(result, request)

    def _common_headers(self, request: AMLRequest, ids: RequestIds) -> list[tuple[str, str]]:
        headers = cors_headers(self._settings.cors_origins, request.method, request.headers)
        if self._settings.report_version:
            headers.append(("x-ms-server-version", f"despina/{__version__}"))
        headers += ids.headers()
        if "TraceId" in request.headers:
            headers.append(("TraceId", request.headers["TraceId"]))
        return headers

    def _log(self, request: AMLRequest, response: AMLResponse, started: float) -> None:
        milliseconds = (time.perf_counter() - started) * 1000
        log.info("%s %s %d %.3fms", request.method, _in_one_line(request.path), response.status_code, milliseconds)


def _answer(result: Result, request: AMLRequest) -> AMLResponse:
    response = _to_response(result.value, request)
    if response.status_code >= 500:
        response.set_header(FAILED, "True")
    response.headers.append(("x-ms-run-fn-exec-ms", f"{result.milliseconds:.3f}"))
    response.check()
    return response


def _to_response(value: Any, request: AMLRequest) -> AMLResponse:
    if isinstance(value, AMLResponse):
        return value
    if hasattr(value, "get_wsgi_response"):  # a Flask response, or an original AMLResponse, where those are installed
        body, status, headers = value.get_wsgi_response(request.environ)
        return AMLResponse.of_parts(int(status.split()[0]), list(headers), body)
    return AMLResponse(value, 200, json_str=True)


def _in_one_line(path: str) -> str:
    """What a client has escaped may end the line, or do something to the terminal that shows it."""
    return "".join(one if one.isprintable() else quote(one) for one in path)


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Unknown"

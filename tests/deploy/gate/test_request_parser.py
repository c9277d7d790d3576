from types import SimpleNamespace
from typing import Any

import httptools
import pytest
from tests.support.gates import get

from despina.deploy.gate.request_head import RequestHead
from despina.deploy.gate.request_parser import RequestParser


def test_mistake_of_ours_is_no_bad_request() -> None:
    def begun(head: RequestHead) -> None:
        raise ValueError("a mistake")

    listener: Any = SimpleNamespace(request_begun=begun)
    with pytest.raises(httptools.HttpParserCallbackError):
        RequestParser(listener).parse(get("/v2/x"))

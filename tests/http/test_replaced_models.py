"""Requests whose bodies arrive while their model is replaced or goes."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from tests.support.serving import serving

V2 = {"inputs": [{"name": "x", "datatype": "INT32", "shape": [1, 2], "data": [1, 2]}]}
ASKED = {
    "/v2/models/m/infer": V2,
    "/v2/models/m/generate": {"x": [1, 2]},
    "/v1/models/m:predict": {"instances": [[1, 2]]},
}


def write_model(repository: Path, number: int) -> None:
    """Model 'm' adds `number` to its input."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "c"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.INT32, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, ["n", 2])],
        [helper.make_tensor("c", TensorProto.INT32, [], [number])],
    )
    path = repository / "m" / "1" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, 0)
    return folder


@pytest.fixture(scope="module")
def port(repository: Path) -> Iterator[int]:
    with serving(repository, ["--model-control-mode=explicit", "--kserve=true"]) as port:
        yield port


def control(port: int, action: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", f"/v2/repository/models/m/{action}", "{}")
    assert connection.getresponse().status == 200
    connection.close()


@contextmanager
def half_sent(port: int, path: str) -> Iterator[Callable[[], tuple[int, str]]]:
    """A request of which half of the body has been sent. Called, it sends the rest, and returns status and answer."""
    body = json.dumps(ASKED[path]).encode()
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.putrequest("POST", path)
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders(b"9\r\n%s\r\n" % body[:9])
        time.sleep(0.2)  # until the server has that

        def finish() -> tuple[int, str]:
            connection.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body) - 9, body[9:]))
            response = connection.getresponse()
            return response.status, response.read().decode()

        yield finish


@pytest.mark.parametrize("path", ASKED)
def test_the_model_that_is_there_when_the_body_is_answers(repository: Path, port: int, path: str) -> None:
    write_model(repository, 70)
    control(port, "load")
    with half_sent(port, path) as finish:
        status, answer = finish()
    assert (status, "71,72" in answer) == (200, True)
    with half_sent(port, path) as finish:
        write_model(repository, 80)
        control(port, "load")
        status, answer = finish()
    assert (status, "81,82" in answer) == (200, True)


@pytest.mark.parametrize("path", ASKED)
def test_a_model_that_went_while_the_body_came_is_not_asked(port: int, path: str) -> None:
    control(port, "load")
    with half_sent(port, path) as finish:
        control(port, "unload")
        assert finish()[0] == 404

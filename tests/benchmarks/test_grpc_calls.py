from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
import pytest
from benchmarks.contender import V2
from benchmarks.grpc_calls import METHOD, beginning, exchange, infer_answer, infer_message, message_of
from benchmarks.peers.pytriton_wheel import PyTritonWheel
from benchmarks.server_process import grpc_flags
from benchmarks.verify import WrongAnswer, verify
from benchmarks.workload import Workload

from despina.grpc.messages import message_class

ROWS = np.arange(6, dtype=np.float32).reshape(3, 2)
WORKLOAD = Workload("m", {"x": ROWS}, "y", ROWS * 2, 1e-6)

Behaviour = Callable[[Any, Any], Any]


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[int]:
    request, response = message_class("ModelInferRequest"), message_class("ModelInferResponse")
    handler = grpc.unary_unary_rpc_method_handler(behaviour, request.FromString, response.SerializeToString)
    _, service, method = METHOD.split("/")
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield port
        server.stop(None).wait()


def answer(values: np.ndarray[Any, Any]) -> Any:
    response = message_class("ModelInferResponse")(model_name="m", raw_output_contents=[values.tobytes()])
    response.outputs.add(name="y", datatype="FP32", shape=values.shape)
    return response


def doubled(request: Any, context: Any) -> Any:
    (tensor,), (raw,) = request.inputs, request.raw_input_contents
    return answer(np.frombuffer(raw, np.float32).reshape(tensor.shape) * 2)


def verified(behaviour: Behaviour) -> None:
    requests = [V2.render(WORKLOAD, "grpc", row) for row in range(WORKLOAD.rows)]
    with serving(behaviour) as port:
        verify(port, WORKLOAD, requests, V2.read(WORKLOAD, "grpc"), 2, exchange)


@pytest.mark.parametrize("size", [0, 16379, 16380, 100_000])
def test_a_message_comes_back_out_of_what_is_sent(size: int) -> None:
    message = bytes(range(250)) * (size // 250) + bytes(size % 250)
    assert message_of(beginning(message)) == message


def test_a_request_carries_its_row_and_asks_for_the_output() -> None:
    request = message_class("ModelInferRequest").FromString(infer_message(WORKLOAD, 1))
    assert (request.model_name, request.outputs[0].name) == ("m", "y")
    assert (request.inputs[0].name, request.inputs[0].datatype, list(request.inputs[0].shape)) == ("x", "FP32", [1, 2])
    assert request.raw_input_contents[0] == ROWS[1:2].tobytes()


def test_right_answers_pass() -> None:
    verified(doubled)


def refuse(request: Any, context: Any) -> Any:
    context.abort(grpc.StatusCode.UNAVAILABLE, "busy")


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        (lambda request, context: answer(np.ones((1, 2), np.float32)), "another answer than the session's own"),
        (lambda request, context: answer(np.ones((0, 2), np.float32)[:, :0]), "was answered b"),
        (lambda request, context: message_class("ModelInferResponse")(), "was answered b''"),
        (refuse, "was answered 14: b'busy'"),
    ],
)
def test_everything_else_is_a_wrong_answer(behaviour: Behaviour, text: str) -> None:
    with pytest.raises(WrongAnswer) as raised:
        verified(behaviour)
    assert text in str(raised.value)


def test_what_is_no_message_is_no_answer() -> None:
    with pytest.raises(ValueError, match="parsing"):
        infer_answer(WORKLOAD, b"\xff")


def test_grpc_is_served_where_it_is_asked_for(tmp_path: Any) -> None:
    bin_directory = tmp_path / "bin"
    (tmp_path / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    wheel = PyTritonWheel(bin_directory)
    assert "--allow-grpc=false" in wheel.command(1, tmp_path, tmp_path)
    command = wheel.command(1, tmp_path, tmp_path, 2)
    assert set(grpc_flags(2)) == {"--grpc-port=2", "--grpc-address=127.0.0.1"} < set(command)
    assert "--allow-grpc=false" not in command

"""A server as KServe starts it: a bare model, the v1 protocol, and v2 with a slash at the end."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.support.asking import ask_json
from tests.support.serving import REPOSITORY, serving


def write_model(path: Path) -> Path:
    """A model that adds 1 and 2 to its two columns, with its weights in a file beside it."""
    weights = numpy_helper.from_array(np.array([1, 2], np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=0)
    return path


@pytest.fixture(scope="module", params=["directory", "version", "file"])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    root = tmp_path_factory.mktemp("models")
    path = {
        "directory": lambda: write_model(root / "model.onnx").parent,
        "version": lambda: write_model(root / "1" / "model.onnx").parent.parent,
        "file": lambda: write_model(root / "adder.onnx"),
    }[request.param]()
    with serving(path, ["--model-name=adder"]) as port:
        yield port


def test_the_model_is_there_and_ready(port: int) -> None:
    assert ask_json(port, "GET", "/v1/models") == (200, {"models": ["adder"]})
    assert ask_json(port, "GET", "/v1/models/adder") == (200, {"name": "adder", "ready": True})
    assert ask_json(port, "GET", "/v2/models/adder/ready") == (200, None)


def test_rows_give_a_prediction_each(port: int) -> None:
    answer = ask_json(port, "POST", "/v1/models/adder:predict", {"instances": [[1, 2], [3, 4]]})
    assert answer == (200, {"predictions": [[2.0, 4.0], [4.0, 6.0]]})


def test_columns_are_answered_as_columns(port: int) -> None:
    answer = ask_json(port, "POST", "/v1/models/adder/versions/1:predict", {"inputs": {"x": [[1, 2]]}})
    assert answer == (200, {"predictions": [[2.0, 4.0]]})


def test_errors_are_objects_with_one_member(port: int) -> None:
    unknown = {"error": "Request for unknown model: 'nope' is not found"}
    assert ask_json(port, "GET", "/v1/models/nope") == (404, unknown)
    assert ask_json(port, "POST", "/v1/models/nope:predict", {}) == (404, unknown)
    assert ask_json(port, "GET", "/v1/models/adder:predict") == (405, {"error": "Method Not Allowed"})
    assert ask_json(port, "POST", "/v1/models/adder:predict", {})[0] == 400
    status, answer = ask_json(port, "POST", "/v1/models/adder:predict", {"instances": [[1, 2, 3]]})
    assert (status, list(answer)) == (400, ["error"])


def test_metadata_may_be_asked_for_with_a_slash(port: int) -> None:
    assert ask_json(port, "GET", "/v2/") == ask_json(port, "GET", "/v2")


def test_a_repository_is_served_as_tritonserver_does() -> None:
    flags = ["--model-control-mode=explicit", "--load-model=identity_fp32_nb"]
    with serving(REPOSITORY, flags) as port:
        assert ask_json(port, "GET", "/v2/") == (404, {"error": "Not Found"})

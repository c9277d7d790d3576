from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from tests.support.services import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    for name in made.services.names():
        made.services.delete(name)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The page's folder shape with a model that doubles its input."""
    tensor = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "double", tensor[:1], tensor[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    version = tmp_path / "models" / "triton" / "double" / "1"
    version.mkdir(parents=True)
    onnx.save(model, version / "model.onnx")
    return tmp_path / "models"

"""Ensembles, the response cache, ragged batches and shape buckets of a server that runs, on small ONNX models."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.shared_memory import SharedMemory
from operator import sub
from typing import Any

import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from tests.support.asking import ask_json
from tests.support.serving import serving

ADD = 'input { name: "X" data_type: TYPE_FP32 dims: 1 } output { name: "Y" data_type: TYPE_FP32 dims: 1 }'
STEPS = """
    ensemble_scheduling {
      step { model_name: "add" model_version: -1 input_map { key: "X" value: "X" } output_map { key: "Y" value: "t" } }
      step { model_name: "add" model_version: -1 input_map { key: "X" value: "t" } output_map { key: "Y" value: "Y" } }
    }"""
THREE = """
    dynamic_batching { max_queue_delay_microseconds: 2000000 preferred_batch_size: 3 }
    instance_group { count: 1 kind: KIND_CPU }"""
# Without a batch dimension the rows of the output need not be those of the input.
ANY_ROWS = f"max_batch_size: 0 {ADD.replace('dims: 1', 'dims: [ -1, 1 ]')}"

CONFIGS = {
    "add": ADD.replace('name: "Y"', 'name: "Y" label_filename: "labels.txt"') + " dynamic_batching {}",
    "cached": f'{ADD} output {{ name: "Z" data_type: TYPE_FP32 dims: 1 }} response_cache {{ enable: true }}',
    "scattered": f"""{THREE}
        input {{ name: "X" data_type: TYPE_FP32 dims: -1 allow_ragged_batch: true }}
        output {{ name: "Y" data_type: TYPE_FP32 dims: -1 }}
        batch_output {{ target_name: "Y" source_input: "X" }}""",
    "bucketed": f"""{THREE}
        input {{ name: "X" data_type: TYPE_FP32 dims: -1 }}
        output {{ name: "Y" data_type: TYPE_FP32 dims: -1 }}
        output {{ name: "SUM" data_type: TYPE_FP32 dims: 1 }}
        output {{ name: "WIDTH" data_type: TYPE_FP32 dims: 1 }}
        parameters {{ key: "shape_bucket.X" value {{ string_value: "pad=100;sizes=4,8" }} }}
        parameters {{ key: "shape_bucket.X.mask_input" value {{ string_value: "MASK" }} }}""",
    "positive": ANY_ROWS,
    "doubled": f"{THREE} {ADD}",
    "filtered": f"""platform: "ensemble" {ANY_ROWS} ensemble_scheduling {{
        step {{ model_name: "positive" model_version: -1 input_map {{ key: "X" value: "X" }}
                output_map {{ key: "Y" value: "t" }} }}
        step {{ model_name: "doubled" model_version: -1 input_map {{ key: "X" value: "t" }}
                output_map {{ key: "Y" value: "Y" }} }} }}""",
    "twice": f'platform: "ensemble" {ADD} {STEPS}',
    "cached_twice": f'platform: "ensemble" {ADD} {STEPS} response_cache {{ enable: true }}',
}
RELOADED = {
    "backend": "onnxruntime",
    "max_batch_size": 8,
    "input": [{"name": "X", "data_type": "TYPE_FP32", "dims": [1]}],
    "output": [{"name": "Y", "data_type": "TYPE_FP32", "dims": [1], "label_filename": "labels.txt"}],
}
ROW, ANY = ["n", 1], ["n", "t"]
ADD_ONE, DOUBLE = h.make_node("Add", ["X", "one"], ["Y"]), h.make_node("Mul", ["X", "two"], ["Y"])
GRAPHS: dict[str, tuple[list[onnx.NodeProto], dict[str, list[Any]], dict[str, list[Any]]]] = {
    "add": ([ADD_ONE], {"X": ROW}, {"Y": ROW}),
    "cached": ([ADD_ONE, h.make_node("Mul", ["X", "two"], ["Z"])], {"X": ROW}, {"Y": ROW, "Z": ROW}),
    "scattered": ([DOUBLE], {"X": ["t"]}, {"Y": ["t"]}),
    "doubled": ([DOUBLE], {"X": ROW}, {"Y": ROW}),
    "positive": (
        [
            h.make_node("Greater", ["X", "zero"], ["wanted"]),
            h.make_node("Squeeze", ["wanted", "axis"], ["rows"]),
            h.make_node("Compress", ["X", "rows"], ["Y"], axis=0),
        ],
        {"X": ROW},
        {"Y": ROW},
    ),
    "bucketed": (
        [
            DOUBLE,
            h.make_node("Mul", ["X", "MASK"], ["masked"]),
            h.make_node("ReduceSum", ["masked", "axis"], ["SUM"], keepdims=1),
            h.make_node("Shape", ["X"], ["width"], start=1, end=2),
            h.make_node("Cast", ["width"], ["float_width"], to=T.FLOAT),
            h.make_node("Mul", ["SUM", "zero"], ["zeros"]),
            h.make_node("Add", ["zeros", "float_width"], ["WIDTH"]),
        ],
        {"X": ANY, "MASK": ANY},
        {"Y": ANY, "SUM": ROW, "WIDTH": ROW},
    ),
}


def onnx_model(
    nodes: list[onnx.NodeProto], inputs: dict[str, list[Any]], outputs: dict[str, list[Any]]
) -> onnx.ModelProto:
    constants = [h.make_tensor(name, T.FLOAT, [1], [value]) for name, value in (("zero", 0), ("one", 1), ("two", 2))]
    constants.append(h.make_tensor("axis", T.INT64, [1], [1]))
    used = {name for node in nodes for name in node.input}
    tensors = [
        [h.make_tensor_value_info(name, T.FLOAT, shape) for name, shape in tensors.items()]
        for tensors in (inputs, outputs)
    ]
    graph = h.make_graph(nodes, "g", *tensors, [constant for constant in constants if constant.name in used])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)])
    model.ir_version = 9
    return model


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    root = tmp_path_factory.mktemp("repository")
    for name, config in CONFIGS.items():
        (root / name / "1").mkdir(parents=True)
        backend = "" if "platform" in config else 'backend: "onnxruntime" '
        batch = "" if "max_batch_size" in config else "max_batch_size: 8 "
        (root / name / "config.pbtxt").write_text(f"{backend}{batch}{config}")
        if name in GRAPHS:
            onnx.save(onnx_model(*GRAPHS[name]), str(root / name / "1" / "model.onnx"))
    (root / "add" / "labels.txt").write_text("only\n")
    flags = ["--model-control-mode=explicit", "--load-model=*", "--cache-config=local,size=1048576"]
    flags.append("--allow-client-shm=true")
    with serving(root, flags) as port:
        yield port


def post(port: int, path: str, body: object) -> Any:
    """The answer; {"error": ...} for one that is an error."""
    return ask_json(port, "POST", f"/v2/{path}", body)[1] or {}


def infer(
    port: int, model: str, data: list[float], *, rows: int = 1, outputs: tuple[str, ...] = (), **more: Any
) -> Any:
    tensor = {"name": "X", "datatype": "FP32", "shape": [rows, len(data) // rows], "data": data}
    wanted = {"outputs": [{"name": name} for name in outputs]} if outputs else {}
    return post(port, f"models/{model}/infer", {"inputs": [tensor], **wanted, **more})


def values(answer: Any) -> dict[str, Any]:
    return {output["name"]: output["data"] for output in answer["outputs"]}


def statistics(port: int, model: str, since: tuple[int, ...] = (0, 0, 0, 0)) -> tuple[int, ...]:
    """Successes, executions, cache hits and cache misses, beyond those that were counted before."""
    (stats,) = ask_json(port, "GET", f"/v2/models/{model}/stats")[1]["model_stats"]
    counts = {name: value["count"] for name, value in stats["inference_stats"].items()}
    now = counts["success"], stats["execution_count"], counts["cache_hit"], counts["cache_miss"]
    return tuple(map(sub, now, since))


def together(port: int, model: str, requests: list[list[float]]) -> list[Any]:
    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(lambda data: infer(port, model, data), requests))


def test_an_ensemble_answers_with_its_parameters(port: int) -> None:
    answer = infer(port, "twice", [1, 2], rows=2, id="r", parameters={"sequence_id": 5, "sequence_end": True})
    assert values(answer) == {"Y": [3, 4]}
    assert answer["id"] == "r"
    assert answer["parameters"] == {"sequence_id": 5, "sequence_start": False, "sequence_end": True}


def test_answers_of_an_ensemble_have_their_parameters_however_often_it_is_asked(port: int) -> None:
    none = {"sequence_id": 0, "sequence_start": False, "sequence_end": False}
    for value in (1, 2, 3):
        answer = infer(port, "twice", [value])
        assert (values(answer), answer["parameters"]) == ({"Y": [value + 2]}, none)
        assert "parameters" not in infer(port, "add", [value])
        explained = infer(port, "add", [value], parameters={"despina_explain": True})
        assert explained["parameters"]["batch_rows"] == 1
        sequence = infer(port, "twice", [value], parameters={"sequence_id": value})
        assert sequence["parameters"]["sequence_id"] == value


def test_requests_that_come_together_get_their_own_answers_from_an_ensemble(port: int) -> None:
    before, of_step = statistics(port, "twice"), statistics(port, "add")
    for first in range(0, 96, 12):
        requests = [[float(number)] for number in range(first, first + 12)]
        assert [values(answer)["Y"] for answer in together(port, "twice", requests)] == [[x + 2] for (x,) in requests]
    assert statistics(port, "twice", before)[:2] == (96, 96)
    assert statistics(port, "add", of_step)[0] == 192


def test_an_ensemble_has_the_labels_of_its_last_step(port: int) -> None:
    tensor = {"name": "X", "datatype": "FP32", "shape": [1, 1], "data": [1]}
    wanted = [{"name": "Y", "parameters": {"classification": 1}}]
    answer = post(port, "models/twice/infer", {"inputs": [tensor], "outputs": wanted})
    assert answer["outputs"][0]["data"] == ["3.000000:0:only"]


def test_shared_memory_that_is_too_small_is_the_ensembles_error(port: int) -> None:
    memory = SharedMemory(create=True, size=4096)
    try:
        post(port, "systemsharedmemory/region/r/register", {"key": f"/{memory.name}", "byte_size": 4096})
        place = {"shared_memory_region": "r", "shared_memory_byte_size": 7}
        tensor = {"name": "X", "datatype": "FP32", "shape": [2, 1], "data": [1, 2]}
        before = statistics(port, "twice")
        texts = {
            model: post(
                port, f"models/{model}/infer", {"inputs": [tensor], "outputs": [{"name": "Y", "parameters": place}]}
            )["error"]
            for model in ("add", "twice")
        }
    finally:
        memory.close()
        memory.unlink()
    complaint = "shared memory size specified with the request for output 'Y' (7 bytes) should be at least 8"
    assert texts["add"].startswith(complaint)
    assert texts["twice"].startswith(f"in ensemble 'twice', {complaint}")
    assert statistics(port, "twice") == before


def test_a_cached_ensemble_runs_its_steps_once(port: int) -> None:
    before, of_step = statistics(port, "cached_twice"), statistics(port, "add")
    answers = [infer(port, "cached_twice", [70], parameters={"sequence_id": number}) for number in (1, 2)]
    assert [values(answer) for answer in answers] == [{"Y": [72]}] * 2
    assert answers[0]["parameters"]["sequence_id"] == 1
    assert "parameters" not in answers[1]  # As in tritonserver.
    assert statistics(port, "cached_twice", before) == (2, 1, 1, 1)
    assert statistics(port, "add", of_step)[1] == 2


def test_the_cache_honours_the_requested_outputs_and_a_reload(port: int) -> None:
    assert values(infer(port, "cached", [5], outputs=("Y",))) == {"Y": [6]}
    assert values(infer(port, "cached", [5])) == {"Y": [6], "Z": [10]}
    assert values(infer(port, "cached", [5], outputs=("Z",))) == {"Z": [10]}
    assert values(infer(port, "cached", [5])) == {"Y": [6], "Z": [10]}
    assert statistics(port, "cached") == (4, 2, 2, 2)
    post(port, "repository/models/cached/unload", {})
    post(port, "repository/models/cached/load", {})
    assert values(infer(port, "cached", [5])) == {"Y": [6], "Z": [10]}
    assert statistics(port, "cached") == (1, 1, 0, 1)


def test_a_ragged_batch_comes_apart_in_the_shapes_it_was_sent_in(port: int) -> None:
    before = statistics(port, "scattered")
    answers = together(port, "scattered", [[1, 2, 3], [4], [5, 6]])
    assert [values(answer) for answer in answers] == [{"Y": [2, 4, 6]}, {"Y": [8]}, {"Y": [10, 12]}]
    assert [answer["outputs"][0]["shape"] for answer in answers] == [[1, 3], [1, 1], [1, 2]]
    assert statistics(port, "scattered", before)[:2] == (3, 1)


def test_a_bucket_is_padded_run_at_once_and_cut_back(port: int) -> None:
    before = statistics(port, "bucketed")
    answers = [values(answer) for answer in together(port, "bucketed", [[1, 2, 3], [4], [5, 6, 7, 8]])]
    assert [answer["Y"] for answer in answers] == [[2, 4, 6], [8], [10, 12, 14, 16]]
    assert [answer["SUM"] for answer in answers] == [[6], [4], [26]]
    assert [answer["WIDTH"] for answer in answers] == [[4], [4], [4]]
    assert statistics(port, "bucketed", before)[:2] == (3, 1)


def test_unloading_a_step_takes_the_ensemble_along_and_loading_brings_it_back(port: int) -> None:
    post(port, "repository/models/add/unload", {})
    assert "twice" in infer(port, "twice", [1])["error"]
    post(port, "repository/models/add/load", {})
    post(port, "repository/models/twice/load", {})
    assert values(infer(port, "twice", [1])) == {"Y": [3]}


@pytest.mark.parametrize("model", ["scattered", "bucketed", "filtered"])
def test_a_request_without_rows_does_not_touch_the_others(port: int, model: str) -> None:
    def ask(rows: int) -> Any:
        return infer(port, model, [1]) if rows else empty(port, model)

    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(ask, [0, 1, 0]))
    shapes = [answer["outputs"][0]["shape"] for answer in answers]
    assert [shape[0] for shape in shapes] == [0, 1, 0]
    assert values(answers[1])["Y"] == [2]


def empty(port: int, model: str) -> Any:
    """A request that has no rows, or of which none is left after the first step."""
    if model == "filtered":
        return infer(port, model, [-1])
    tensor = {"name": "X", "datatype": "FP32", "shape": [0, 0], "data": []}
    return post(port, f"models/{model}/infer", {"inputs": [tensor]})


def test_no_rows_have_no_classes(port: int) -> None:
    tensor = {"name": "X", "datatype": "FP32", "shape": [0, 0], "data": []}
    wanted = [{"name": "Y", "parameters": {"classification": 1}}]
    answer = post(port, "models/bucketed/infer", {"inputs": [tensor], "outputs": wanted})
    assert answer["outputs"][0]["shape"] == [0, 0]


def test_a_cached_ensemble_forgets_what_other_versions_of_its_steps_answered(port: int) -> None:
    assert values(infer(port, "cached_twice", [80])) == {"Y": [82]}
    post(port, "repository/models/add/load", {"parameters": {"config": json.dumps(RELOADED)}})
    assert values(infer(port, "cached_twice", [80])) == {"Y": [82]}
    assert statistics(port, "cached_twice") == (1, 1, 0, 1)

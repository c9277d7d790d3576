import json

import numpy as np
import pytest

from despina.errors import DespinaError
from despina.protocol.decode import Limits
from despina.protocol.generate import GenerateInput, deduce_shape, encode_response, event, read_request
from despina.protocol.messages import InferRequest, OutputTensor

INPUTS = {
    "text": GenerateInput("BYTES", (-1, 1)),
    "score": GenerateInput("FP32", (-1, 1)),
    "half": GenerateInput("FP16", (-1,)),
}


def read(body: str | bytes, limit: int = 1 << 20) -> InferRequest:
    return read_request(body if isinstance(body, bytes) else body.encode(), INPUTS, Limits(limit))


def tensors(request: InferRequest) -> dict[str, tuple[str, tuple[int, ...], list[object]]]:
    return {
        item.name: (item.datatype, item.shape, item.data.tolist())
        for item in request.inputs
        if isinstance(item.data, np.ndarray)
    }


def test_members_named_like_inputs_are_tensors_and_others_parameters() -> None:
    request = read('{"text":"é","score":[1,2],"top_k":5,"stream":false,"top_p":0.5,"stop":"x"}')
    assert tensors(request) == {"text": ("BYTES", (1, 1), ["é".encode()]), "score": ("FP32", (2, 1), [1.0, 2.0])}
    assert request.parameters == {"top_k": 5, "stream": False, "top_p": 0.5, "stop": "x"}


def test_members_of_parameters_count_like_those_outside() -> None:
    request = read('{"text":"a","parameters":{"score":3,"top_k":5}}')
    assert tensors(request)["score"] == ("FP32", (1, 1), [3.0])
    assert request.parameters == {"top_k": 5}


def test_of_a_parameter_that_comes_twice_the_first_counts() -> None:
    assert read('{"top_k":5,"top_k":[1]}').parameters == {"top_k": 5}
    assert read('{"parameters":{"a":1},"parameters":7}').parameters == {"a": 1}


def test_the_id_is_a_parameter_too() -> None:
    request = read('{"id":"7","text":"a"}')
    assert (request.id, request.parameters) == ("7", {"id": "7"})


def test_keys_with_a_meaning_elsewhere_have_none_here() -> None:
    request = read('{"sequence_id":5,"priority":1,"triton_x":"y"}')
    assert (request.correlation_id, request.priority) == (0, 0)
    assert request.parameters == {"sequence_id": 5, "priority": 1, "triton_x": "y"}


def test_an_empty_list_is_a_tensor_without_elements() -> None:
    (item,) = read('{"score":[]}').inputs
    assert (item.shape, bytes(item.data)) == ((0, 1), b"")


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ("", 500, "failed to parse the request JSON buffer: The document is empty. at 0"),
        ("[1]", 500, "attempt to get members for non-object"),
        ('{"id":5}', 500, "Unable to parse 'id': attempt to access JSON non-string as string"),
        (
            '{"x":{}}',
            400,
            "parameter 'x' has invalid type. It should be either 'int', 'bool', or 'string'.",
        ),
        (
            '{"x":null}',
            400,
            "parameter 'x' has invalid type. It should be either 'int', 'bool', or 'string'.",
        ),
        (
            '{"parameters":{"x":[1]}}',
            400,
            "Converting keyword: 'parameters': parameter 'x' has invalid type. It should be either 'int', 'bool', or "
            "'string'.",
        ),
        (
            '{"parameters":[]}',
            500,
            "Expected JSON object for keyword: 'parameters': attempt to access JSON non-object as object",
        ),
        ('{"score":"x"}', 500, "Unable to parse 'data': attempt to access JSON non-number as double"),
        (
            '{"text":"a","text":"b"}',
            400,
            "[request id: <id_unknown>] input 'text' already exists in request",
        ),
        (
            '{"text":"a","text":5}',
            400,
            "[request id: <id_unknown>] input 'text' already exists in request",
        ),
        ('{"id":5,"id":"a"}', 500, "Unable to parse 'id': attempt to access JSON non-string as string"),
        (
            '{"half":[]}',
            400,
            "receiving FP16 data via JSON is not supported. Please use the binary data format for input half",
        ),
        (
            '{"id":"7","text":"a","parameters":{"text":"b"}}',
            400,
            "Converting keyword: 'parameters': [request id: 7] input 'text' already exists in request",
        ),
        (
            '{"half":[1]}',
            400,
            "receiving FP16 data via JSON is not supported. Please use the binary data format for input half",
        ),
        (
            '{"text":"abcd","score":[1,2,3]}',
            400,
            "request size of 8 bytes with input 'score' of size 12 bytes exceeds the maximum allowed input size of 16. "
            "Use --http-max-input-size to increase the limit.",
        ),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_the_protocol(body: str, status: int, text: str) -> None:
    with pytest.raises(DespinaError) as error:
        read(body, limit=16)
    assert (error.value.status, error.value.message) == (status, text)


def test_an_input_called_parameters_excludes_the_keyword() -> None:
    with pytest.raises(DespinaError) as error:
        read_request(b'{"parameters":{}}', {"parameters": GenerateInput("FP32", (1,))}, Limits())
    assert error.value.message == "Keyword 'parameters' for nested schema also given as input tensor name"


@pytest.mark.parametrize(
    ("count", "shape", "expected"),
    [
        (1, (-1, 1), (1, 1)),
        (32, (-1, 16), (2, 16)),
        (6, (-1, -1, 2), (1, 3, 2)),
        (6, (-1, 2, -1), (1, 2, 3)),
        (4, (4,), (4,)),
        (0, (-1,), (0,)),
        (1, (), ()),
    ],
)
def test_shapes_come_from_the_number_of_elements(count: int, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert deduce_shape("x", count, shape) == expected


@pytest.mark.parametrize(("count", "shape"), [(3, (4,)), (8, (4,)), (3, (-1, 2)), (0, (4,)), (2, ())])
def test_a_number_of_elements_that_does_not_come_out_even_is_refused(count: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(DespinaError) as error:
        deduce_shape("x", count, shape)
    assert error.value.message == "The schema can not convert input 'x' to tensor with proper shape"


def test_a_response_is_one_flat_object_sorted_by_key() -> None:
    outputs = [
        OutputTensor("text", "BYTES", np.array([[b"\xc3\xa9"]], object)),
        OutputTensor("B", "FP32", np.array([[0.5], [np.nan]], np.float32)),
        OutputTensor("none", "INT32", np.zeros((0, 2), np.int32)),
    ]
    body = encode_response("m", 3, "7", outputs, {"flag": True})
    expected = '{"B":[0.5,NaN],"flag":true,"id":"7","model_name":"m","model_version":"3","none":[],"text":"é"}'
    assert body.decode() == expected
    assert event(b"{}") == b"data: {}\n\n"


def test_keys_are_sorted_by_key_and_not_by_what_follows() -> None:
    outputs = [OutputTensor(name, "INT32", np.array([1], np.int32)) for name in ("a b", "a", "a!")]
    assert list(json.loads(encode_response("m", 1, "", outputs)))[:3] == ["a", "a b", "a!"]

"""What is wrong with a request is said in the words of the protocol."""

from typing import Any

import pytest
from tests.support.decoding import decode, nested, tensor

from despina.errors import DespinaError

BINARY = {"binary_data_size": 4}

ONE_FIELD = (
    "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', "
    "'shared_memory_region' in 'parameters'. But "
)


@pytest.mark.parametrize(
    ("document", "blob", "status", "text"),
    [
        (b"[]", b"", 500, "Unable to parse 'inputs': attempt to access non-existing object member 'inputs'"),
        (b"{}", b"", 500, "Unable to parse 'inputs': attempt to access non-existing object member 'inputs'"),
        ({"inputs": 1}, b"", 500, "Unable to parse 'inputs': attempt to access JSON non-array as array"),
        ({"id": 1, "inputs": []}, b"", 500, "Unable to parse 'id': attempt to access JSON non-string as string"),
        ({"parameters": []}, b"", 500, "failed to get request params.: attempt to get members for non-object"),
        (
            {"parameters": {"priority": -1}},
            b"",
            500,
            "Unable to parse 'priority': attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
        (
            {"parameters": {"sequence_id": -1}},
            b"",
            500,
            "Unable to parse 'sequence_id': attempt to access JSON non-string as string",
        ),
        (
            {"parameters": {"sequence_id": "x" * 129}},
            b"",
            501,
            "string correlation ID cannot be longer than 128 characters",
        ),
        (
            {"parameters": {"triton_x": 1}},
            b"",
            400,
            "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified.",
        ),
        (
            {"parameters": {"x": None}},
            b"",
            400,
            "parameter 'x' has invalid type. It should be either 'int', 'bool', or 'string'.",
        ),
        ({"inputs": [7]}, b"", 400, ONE_FIELD + "no field is set"),
        (
            {"inputs": [tensor(data=[1, 2], parameters=BINARY)]},
            b"abcd",
            400,
            ONE_FIELD + "set 'data' 'binary_data_size'",
        ),
        (
            {"inputs": [{"shape": [1], "datatype": "FP32", "data": [1]}]},
            b"",
            500,
            "Unable to parse 'name': attempt to access non-existing object member 'name'",
        ),
        (
            {"inputs": [tensor(shape=[-1], data=[1])]},
            b"",
            500,
            "Unable to parse 'shape': attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
        (
            {"id": "q", "inputs": [tensor(data=[1, 2]), tensor(data=[1, 2])]},
            b"",
            400,
            "[request id: q] input 'x' already exists in request",
        ),
        (
            {"inputs": [tensor(parameters=BINARY)]},
            b"abc",
            400,
            "unexpected size for input 'x', expecting 1 additional bytes for model 'm'",
        ),
        ({"inputs": [tensor(parameters=BINARY)]}, b"abcde", 400, "unexpected additional input data for model 'm'"),
        ({"inputs": [tensor(data=1)]}, b"", 500, "Unable to parse 'data': attempt to access JSON non-array as array"),
        (
            {"inputs": [tensor(data=[1, 2, 3])]},
            b"",
            500,
            "Unable to parse 'data': Shape does not match true shape of 'data' field",
        ),
        (
            {"inputs": [tensor(shape=[1], datatype="INT64", data=[1 << 63, 1])]},
            b"",
            500,
            "Unable to parse 'data': attempt to access JSON non-signed-integer as signed-integer",
        ),
        (
            {"inputs": [tensor(datatype="NONE", data={})]},
            b"",
            500,
            "Unable to parse 'data': attempt to access JSON non-array as array",
        ),
        (
            {"inputs": [tensor(shape=[1 << 30], data=None)]},
            b"",
            500,
            "Unable to parse 'data': attempt to access JSON non-array as array",
        ),
        (
            {"inputs": [tensor(data=[1, 2], parameters={"shared_memory_offset": "x"})]},
            b"",
            500,
            "Unable to parse 'shared_memory_offset': attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
        (
            {"inputs": [], "outputs": [{"name": "y", "parameters": {"shared_memory_byte_size": 1.5}}]},
            b"",
            500,
            "Unable to parse 'shared_memory_byte_size': attempt to access JSON non-unsigned-integer as "
            "unsigned-integer",
        ),
        (
            {"inputs": [], "outputs": [{"name": 5, "parameters": {"shared_memory_region": "r", "classification": 0}}]},
            b"",
            400,
            "Output can't set both 'shared_memory_region' and 'classification'",
        ),
        (
            {"inputs": [], "outputs": [{"name": "y", "parameters": {"shared_memory_region": "r", "binary_data": 1}}]},
            b"",
            500,
            "Unable to set 'binary_data': attempt to access JSON non-boolean as boolean",
        ),
        ({"inputs": [tensor(data=[1])]}, b"", 500, "Failed to parse 'data' field: shape does not match true shape"),
        (
            {"inputs": [tensor(data=[1, "2"])]},
            b"",
            500,
            "Unable to parse 'data': attempt to access JSON non-number as double",
        ),
        (
            {"inputs": [tensor(datatype="INT32", data=[1, 2.0])]},
            b"",
            500,
            "Unable to parse 'data': attempt to access JSON non-signed-integer as signed-integer",
        ),
        (
            {"inputs": [tensor(datatype="INT32", data=[1, True])]},
            b"",
            500,
            "Unable to parse 'data': attempt to access JSON non-signed-integer as signed-integer",
        ),
        (
            {"inputs": [tensor(datatype="UINT8", data=[1, -2])]},
            b"",
            500,
            "Unable to parse 'data': attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
        (
            {"inputs": [tensor(datatype="BOOL", data=[0, 1])]},
            b"",
            500,
            "Unable to parse 'data': attempt to access JSON non-boolean as boolean",
        ),
        (
            {"inputs": [tensor(datatype="BYTES", data=["a", 1])]},
            b"",
            500,
            "Unable to parse JSON bytes array: attempt to access JSON non-string as string",
        ),
        (
            {"inputs": [tensor(datatype="FP16", data=[1, 2])]},
            b"",
            400,
            "receiving FP16 data via JSON is not supported. Please use the binary data format for input x",
        ),
        ({"inputs": [tensor(datatype="FP31", data=[1, 2])]}, b"", 400, "invalid datatype for input x"),
        (
            {"inputs": [tensor(shape=[1], data=nested(100))]},
            b"",
            400,
            "Unable to parse 'data': JSON nesting depth exceeds maximum allowed limit (100)",
        ),
        (
            {"inputs": [tensor(shape=[1 << 32, 1 << 32], data=[1])]},
            b"",
            400,
            "invalid shape for input 'x': shape [4294967296,4294967296] causes total element count to exceed maximum "
            "size of 9223372036854775807",
        ),
        (
            {"inputs": [tensor(shape=[1, (1 << 63) - 1], data=[1])]},
            b"",
            400,
            "byte size overflow for input 'x': element count (9223372036854775807) * data type size (4) exceeds "
            "maximum allowed size (9223372036854775807)",
        ),
        (
            {"inputs": [tensor(shape=[1, 1 << 63], data=[1])]},
            b"",
            400,
            "Unable to parse 'data': Shape does not match true shape of 'data' field",
        ),
        (
            {"inputs": [tensor(shape=[1 << 19], data=[1])]},
            b"",
            400,
            "Unable to parse 'data': Shape does not match true shape of 'data' field",
        ),
        (
            {"inputs": [tensor(shape=[1 << 19], data=[1] * (1 << 19))]},
            b"",
            400,
            "JSON input 'x' has a byte_size (2097152 bytes) that exceeds the maximum allowed value of 2097151 bytes. "
            "Use --http-max-input-size to increase the limit.",
        ),
        (
            {"inputs": [], "outputs": [{"name": "y"}, {"name": "y"}]},
            b"",
            400,
            "[request id: <id_unknown>] output 'y' already exists in request",
        ),
        (
            {"inputs": [], "outputs": [{"name": "y", "parameters": {"classification": "3"}}]},
            b"",
            500,
            "Unable to set 'classification': attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
        (
            {"inputs": [tensor(parameters={"shared_memory_region": "gone"})]},
            b"",
            404,
            "Unable to find shared memory region: 'gone'",
        ),
        (
            {
                "inputs": [],
                "outputs": [{"name": "y", "parameters": {"shared_memory_region": "r", "classification": 1}}],
            },
            b"",
            400,
            "Output can't set both 'shared_memory_region' and 'classification'",
        ),
    ],
)
def test_what_is_wrong_is_said_in_the_protocols_words(document: Any, blob: bytes, status: int, text: str) -> None:
    with pytest.raises(DespinaError) as caught:
        decode(document, blob)
    assert (caught.value.status, caught.value.message) == (status, text)

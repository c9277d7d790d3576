"""What requests say of their inputs and outputs, by the JSON around their data."""

import pytest

from despina.http.request_description import MAX_TEXT_BYTES, describe

ENTRY = b'{"name":"A","shape":[1,2],"datatype":"FP32","data":'
END = b"}]}"


@pytest.mark.parametrize(
    "pieces",
    [
        (b'{"x":"new","inputs":[' + ENTRY, END),
        (b'{ "inputs": [{"name": "A", "shape": [1, 2], "datatype": "FP32", "data": ', b'}], "x": "a\\n\\"b\\""}'),
        (b'{"inputs":[' + ENTRY, b'}],"id":"7","parameters":{"mine":"x"}}'),
        (b'{"inputs":[' + ENTRY, b'}],"x":["a",{"b":["c"]}]}'),
        (b'{"inputs":[' + ENTRY, b'}],"x":"\\u00e9\\n\\\\"}'),
    ],
)
def test_what_else_is_there_does_not_matter(pieces: tuple[bytes, ...]) -> None:
    plain, other = describe((b'{"inputs":[' + ENTRY, END)), describe(pieces)
    assert plain is not None
    assert other is not None
    assert other.key == plain.key


@pytest.mark.parametrize(
    "pieces",
    [
        (b'{"inputs":[' + ENTRY.replace(b"[1,2]", b"[2,1]"), END),
        (b'{"inputs":[' + ENTRY.replace(b"[1,2]", b"[true,2]"), END),
        (b'{"inputs":[' + ENTRY.replace(b"[1,2]", b"[1.0,2]"), END),
        (b'{"inputs":[' + ENTRY.replace(b'"A"', b'"B"'), END),
        (b'{"inputs":[' + ENTRY, b',"parameters":{}}]}'),
        (b'{"inputs":[' + ENTRY, b'}],"outputs":[]}'),
        (b'{"inputs":[' + ENTRY, b'}],"outputs":null}'),
        (b'{"inputs":[' + ENTRY, b'}],"parameters":{"binary_data_output":true}}'),
    ],
)
def test_what_is_said_of_tensors_does(pieces: tuple[bytes, ...]) -> None:
    plain, other = describe((b'{"inputs":[' + ENTRY, END)), describe(pieces)
    assert plain is not None
    assert other is not None
    assert other.key != plain.key


def test_the_rest_of_a_request_is_read() -> None:
    parameters = b'{"mine":1.5,"priority":3,"timeout":4,"sequence_id":"s","sequence_end":true}'
    described = describe((b'{"id":"a","parameters":' + parameters + b',"inputs":[]}',))
    assert described is not None
    request = described.request
    assert (request.id, request.parameters, request.priority, request.timeout_us) == ("a", {"mine": 1.5}, 3, 4)
    assert (request.correlation_id, request.sequence_start, request.sequence_end) == ("s", False, True)


def test_an_id_ends_at_a_nul() -> None:
    described = describe((b'{"inputs":[],"id":"a\\u0000b"}',))
    assert described is not None
    assert described.request.id == "a"


@pytest.mark.parametrize(
    "pieces",
    [
        # A key that is there twice, of which the first one counts.
        (b'{"x":1,"x":1,"inputs":[' + ENTRY, END),
        (b'{"inputs":[],"x":"\\u0022\\u0022","inputs":[' + ENTRY, END),
        # Data that is not where it was cut out, or not all there is.
        (b'{"x":{"data":', b'},"inputs":[' + ENTRY.replace(b'"data":', b'"data" :"\x7f"') + END),
        (b'{"x":{"data":', b'},"inputs":[' + ENTRY.replace(b'"data":', b'"data" :"\\u007f"') + END),
        (b'{"x":{"data":', b'},"inputs":[' + ENTRY.replace(b'"data":', b'"data" :[1,2]') + END),
        (b'{"inputs":[{"x":{"data":', b'}},{"data" :[1]}]}'),
        (b'{"inputs":[' + ENTRY, b'},{"name":"B"}]}'),
        (b'{"inputs":[' + ENTRY, b'}],"x":{"data":', b"}}"),
        (b'{"inputs":[{"name":"A","data":"\x7f"}]}',),
        # What is to be refused.
        (b'{"inputs":[' + ENTRY, b"7}]}"),
        (b'{"inputs":[' + ENTRY, b'}],"id":7}'),
        (b'{"inputs":[' + ENTRY, b'}],"parameters":7}'),
        (b'{"inputs":[' + ENTRY, b'}],"parameters":{"triton_x":7}}'),
        (b'{"inputs":[' + ENTRY, b'}],"parameters":{"priority":-1}}'),
        (b'{"inputs":[' + ENTRY, b'}],"x":NaN}'),
        (b'{"inputs":[7,{"data":', b"}]}"),
        (b'{"inputs":{"data":', b"}}"),
        (b'[{"data":', b"}]"),
        (b"{}",),
        (b"",),
    ],
)
def test_the_full_decoding_says_what_is_wrong(pieces: tuple[bytes, ...]) -> None:
    assert describe(pieces) is None


@pytest.mark.parametrize(("length", "described"), [(MAX_TEXT_BYTES, True), (MAX_TEXT_BYTES + 1, False)])
def test_long_texts_are_not_parsed_here(length: int, described: bool) -> None:
    text = b'{"inputs":[],"x":"%s"}'
    assert (describe((text % (b"x" * (length - len(text) + 2)),)) is not None) is described

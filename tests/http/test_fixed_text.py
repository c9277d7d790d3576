import pytest

from despina.http.fixed_text import holds_the_inputs, spans_like, split_at_data


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        (b'{"inputs":[{"data":[1]}]}', True),
        (b'{"inputs":[{"data": [[1],[2]]},{"data":[3]}]}', True),
        (b'{"inputs":[{"data" :[1]}],"x":{"data":[1]}}', False),
        (b'{"inputs":[{"data":[1],"data":[2]}]}', False),
        (b'{"inputs":[{"data":[[1,[2]],3]}]}', False),
        (b'{"inputs":[{"\\"data":[1]}]}', False),
        (b'{"inputs":[{"name":"a","name":"b","data":[1]}]}', False),
        (b'{"inputs":{"data":[1]}}', False),
        (b'[{"data":[1]}]', False),
    ],
)
def test_only_the_data_of_the_inputs_is_cut_out(text: bytes, holds: bool) -> None:
    parts = split_at_data(text)
    assert parts is not None
    assert holds_the_inputs(parts) is holds


@pytest.mark.parametrize(
    "text",
    [
        b'{"inputs":[{"data":[1]},{"data": [2]}],"x":1}',
        b'{"inputs":[{"data":[[1],[2]]},{"data": [[3]]}],"x":1}',
    ],
)
def test_a_text_like_one_that_was_cut_is_cut_the_same_way(text: bytes) -> None:
    last, this = split_at_data(b'{"inputs":[{"data":[5,6]},{"data": [7]}],"x":1}'), split_at_data(text)
    assert last is not None
    assert this is not None
    assert tuple(spans_like(text, len(last.fixed[0]), last.fixed)) == this.spans


@pytest.mark.parametrize(
    "text",
    [
        b'{"inputs":[{"data":[1]},{"data": [2]}],"x":2}',
        b'{"inputs":[{"data":[1]},{"date": [2]}],"x":1}',
        b'{"inputs":[{"data":},{"data": }],"x":',
        b'{"inputs":[{"data":[1]},{"data": ],"x":1}',
        b"",
    ],
)
def test_a_text_with_other_pieces_is_not_cut_like_this(text: bytes) -> None:
    parts = split_at_data(b'{"inputs":[{"data":[5,6]},{"data": [7]}],"x":1}')
    assert parts is not None
    assert not spans_like(text, len(parts.fixed[0]), parts.fixed)

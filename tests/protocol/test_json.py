import contextlib
import math
import time

import pytest

from despina.errors import Internal
from despina.protocol import json


def test_plain_documents_are_parsed() -> None:
    assert json.loads(b'{"a":[1,2.5,"x",true,null]}') == {"a": [1, 2.5, "x", True, None]}


def test_non_finite_literals_are_accepted() -> None:
    value = json.loads(b"[NaN, -NaN, Infinity, -Infinity, Inf, -Inf]")
    assert math.isnan(value[0])
    assert math.isnan(value[1])
    assert value[2:] == [math.inf, -math.inf, math.inf, -math.inf]


def test_inf_inside_a_string_is_left_alone() -> None:
    assert json.loads(b'["Inf", Inf]') == ["Inf", math.inf]


def test_invalid_utf8_survives_a_round_trip() -> None:
    value = json.loads(b'{"s":"a\xff\xfeb"}')
    assert json.encode_string(value["s"]) == b"a\xff\xfeb"
    assert json.dumps(value) == b'{"s":"a\xff\xfeb"}'


def test_the_first_of_duplicate_keys_wins_where_the_lenient_parser_reads() -> None:
    assert json.loads(b'{"a":NaN,"b":1,"b":2}')["b"] == 1


def test_a_bom_is_skipped_and_a_nul_is_the_end() -> None:
    for bom in (b"\xef\xbb\xbf", b"\xef", b"\xbb\xbf", b"\xef\xbf"):
        assert json.loads(bom + b'{"a":1}') == {"a": 1}
    with pytest.raises(Internal, match=r"The document is empty\. at 2$"):
        json.loads(b"\xef\xbb")
    with pytest.raises(Internal, match="Missing a closing quotation mark"):
        json.loads(b'\xef"')
    assert json.loads(b'{"a":1}\x00') == {"a": 1}
    assert json.loads(b'{"a":1}\x00\xff"]') == {"a": 1}


def test_a_very_deep_document_is_parsed_without_recursion_errors() -> None:
    depth = 250_000
    value = json.loads(b'{"ready":' + b"[" * depth + b"]" * depth + b"}")
    assert isinstance(value["ready"], list)


def test_what_stands_beside_a_very_deep_value_is_read_as_ever() -> None:
    deep = b"[" * 250_000 + b'{"]":true}' + b"]" * 250_000
    value = json.loads(b'{"before":[1],"deep":' + deep + b',"after":"]"}')
    assert (value["before"], value["after"]) == ([1], "]")
    while isinstance(value, dict | list) and value:
        value = value["deep"] if isinstance(value, dict) else value[0]
    assert value is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "The document is empty."),
        (b"  \n", "The document is empty."),
        (b"{", "Missing a name for object member."),
        (b'{"a":1,}', "Missing a name for object member."),
        (b'{"a":1 "b":2}', "Missing a comma or } after an object member."),
        (b'{"a" 1}', "Missing a colon after a name of object member."),
        (b'{"a":1} x', "The document root must not be followed by other values."),
        (b'{"a":+1}', "Invalid value."),
        (b"[" * 3000, "Invalid value."),
        (b"\x00{}", "The document is empty."),
        (b'{"a\x00b":1}', "Missing a closing quotation mark in string."),
        (b"[1\x00]", "Missing a comma or ] after an array element."),
        (b'["\t"]', "Invalid escape character in string."),
        (b'["\\a"]', "Invalid escape character in string."),
        (b'["\\', "Invalid escape character in string."),
        (b'["a\\\\', "Missing a closing quotation mark in string."),
        (b'["\\u0041', "Missing a closing quotation mark in string."),
        (b'["\\u12x4"]', "Incorrect hex digit after \\u escape in string."),
        (b'["\\ud800"]', "The surrogate pair in string is invalid."),
        (b'["\\ud800', "The surrogate pair in string is invalid. at 2"),
        (b'["\\ud800a', "The surrogate pair in string is invalid. at 2"),
        (b'["\\ud83d\\ude00', "Missing a closing quotation mark in string."),
        (b'["\\ud800\\uZZZZ"]', "Incorrect hex digit after \\u escape in string."),
        (b"[1.]", "Miss fraction part in number."),
        (b"[1.5e]", "Miss exponent in number."),
        (b"[1.5.5]", "Missing a comma or ] after an array element."),
        (b"[1e5e]", "Missing a comma or ] after an array element."),
        (b"[Infinit]", "Invalid value."),
        (b"[InfInf]", "Missing a comma or ] after an array element."),
        (b"[NaN, Inf x]", "Missing a comma or ] after an array element."),
        (b"{NaN:1}", "Missing a name for object member."),
    ],
)
def test_malformed_documents_are_refused_with_the_parsers_reason(body: bytes, reason: str) -> None:
    with pytest.raises(Internal, match="failed to parse the request JSON buffer: ") as caught:
        json.loads(body)
    assert reason in caught.value.message


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'[1e999,"\\ud800",}', 1),
        (b'["\\ud800",1e999,}', 2),
        (b'[},1e999,"\\ud800"', 1),
        (b'{"a"\\ud800:1}', 4),
        (b"[Inf,-Inf,-NaN,}", 15),
    ],
)
def test_the_first_thing_wrong_is_what_is_named(body: bytes, place: int) -> None:
    with pytest.raises(Internal) as caught:
        json.loads(body)
    assert caught.value.message.endswith(f" at {place}")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([math.nan, math.inf, -math.inf], b"[NaN,Infinity,-Infinity]"),
        ({"a": None, "b": [1.0, 2]}, b'{"a":null,"b":[1.0,2]}'),
        ({"s": 'é"\n/'}, '{"s":"é\\"\\n/"}'.encode()),
    ],
)
def test_output_is_compact_and_keeps_non_finite_numbers(value: object, text: bytes) -> None:
    assert json.dumps(value) == text


@pytest.mark.parametrize("texts", [[], ["null", "NaN"], ['\u00e9"\n/', ""], ["a", "\udcff", "null"]])
def test_texts_are_written_like_anything_else(texts: list[str]) -> None:
    assert json.dumps_texts(texts) == json.dumps(texts)


def test_among_texts_no_number_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(value: object) -> bool:
        raise AssertionError("as long as writing them several times")

    monkeypatch.setattr("despina.protocol.json._has_non_finite", look)
    assert json.dumps_texts(["null"]) == b'["null"]'


@pytest.mark.parametrize(
    ("read", "value", "text"),
    [
        (json.as_string, 1, "attempt to access JSON non-string as string"),
        (json.as_bool, 1, "attempt to access JSON non-boolean as boolean"),
        (json.as_array, {}, "attempt to access JSON non-array as array"),
        (json.as_unsigned, -1, "attempt to access JSON non-unsigned-integer as unsigned-integer"),
        (json.as_unsigned, True, "attempt to access JSON non-unsigned-integer as unsigned-integer"),
        (json.as_unsigned, 1 << 64, "attempt to access JSON non-unsigned-integer as unsigned-integer"),
    ],
)
def test_wrong_json_types_have_their_texts(read, value, text) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Internal) as caught:
        read(value)
    assert caught.value.message == text


@pytest.mark.parametrize(
    "body",
    [
        b'{"x":Inf,"y":"' + b'\\"' * 100_000,
        b"[" * 5000 + b'"' + b'\\"' * 100_000,
        b"[" * 200_000 + b"0" + b"]" * 199_999,
    ],
)
def test_a_document_that_invites_backtracking_is_done_with_at_once(body: bytes) -> None:
    """With a parser whose time grows with the square of the length this takes minutes."""
    started = time.monotonic()
    with contextlib.suppress(Internal):
        json.loads(body)
    assert time.monotonic() - started < 5


def test_a_number_in_a_string_may_be_huge() -> None:
    assert json.loads(b'{"a":Infinity,"s":"from 1e999 on \\" 1e999"}')["s"] == 'from 1e999 on " 1e999'


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"9" * 400, b"9" * 5000])
def test_a_number_no_double_can_hold_is_refused(number: bytes) -> None:
    with pytest.raises(Internal, match="Number too big to be stored in double"):
        json.loads(b'{"s":" 1","a":[1,' + number + b"]}")


def test_a_string_that_ends_in_a_backslash_at_the_end_of_the_text_is_refused() -> None:
    with pytest.raises(Internal, match="failed to parse the request JSON buffer"):
        json.loads(b'[Inf,"a\\')

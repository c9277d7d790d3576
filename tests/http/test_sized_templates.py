from dataclasses import replace

import numpy as np

from despina.http.request_template import InputTemplate, SizedTemplate
from despina.http.sized_templates import SizedTemplates
from despina.protocol.messages import InferRequest
from despina.protocol.plain_texts import PlainTexts

INPUT = InputTemplate("T", np.dtype(object), (1, 1), 0, "BYTES", 1, PlainTexts(1, True, 100))
TEMPLATE = SizedTemplate((), 0, (INPUT,), 1, None, 37, None, 0, InferRequest(), None, {})
ONE, TWO = b'{"binary_data_size":%b}', b'[{"binary_data_size":%b},{"binary_data_size":3}]'


def known(text: bytes) -> SizedTemplates:
    """That of requests like `text`, which came once since."""
    templates = SizedTemplates(10)
    _, pieces, _ = templates.find(text)
    templates.keep(pieces, TEMPLATE)
    assert templates.find(text) == (TEMPLATE, pieces, [7, 3][: len(pieces) - 1])
    return templates


def test_a_request_that_differs_in_its_size_only_is_like_the_last_one() -> None:
    templates = known(ONE % b"7")
    for size in (0, 7, 12345):
        assert templates.like_last(ONE % b"%d" % size, size) is TEMPLATE


def test_a_request_that_tells_another_size_than_it_has_is_not() -> None:
    templates = known(ONE % b"7")
    for told in (b"8", b"07", b" 7", b"7.0", b"", b"-7"):
        assert templates.like_last(ONE % told, 7) is None


def test_a_request_of_another_kind_is_not() -> None:
    templates = known(ONE % b"7")
    assert templates.like_last(b" " + ONE % b"7", 7) is None
    assert templates.like_last(ONE % b"7" + b" ", 7) is None


def test_of_several_sizes_none_is_that_of_all_data() -> None:
    assert known(TWO % b"7").like_last(TWO % b"7", 10) is None


def test_nothing_is_like_a_request_that_is_not_known() -> None:
    templates = SizedTemplates(10)
    templates.find(ONE % b"7")
    assert templates.like_last(ONE % b"7", 7) is None


def test_what_is_kept_anew_is_not_the_last_one_any_more() -> None:
    templates = known(ONE % b"7")
    _, pieces, _ = templates.find(ONE % b"7")
    templates.keep(pieces, replace(TEMPLATE, rows=2))
    assert templates.like_last(ONE % b"7", 7) is None

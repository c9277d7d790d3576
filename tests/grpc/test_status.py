import pytest

from despina import errors
from despina.grpc.status import code_of, message_of
from despina.models.failures import NotInRepository
from despina.scheduling.request_queue import QueueFull


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.Internal, 13),
        (errors.InvalidArgument, 3),
        (errors.NotFound, 5),
        (errors.AlreadyExists, 6),
        (errors.Unavailable, 14),
        (errors.Unsupported, 12),
        (errors.Cancelled, 1),
        (errors.Forbidden, 14),
        (errors.RequestTimeout, 8),
        (errors.Unauthenticated, 16),
        (errors.DespinaError, 13),
    ],
)
def test_an_error_is_answered_by_its_class_not_by_its_http_status(kind: type[errors.DespinaError], code: int) -> None:
    assert code_of(kind("message")) == code


def test_an_error_without_a_code_has_that_of_what_it_derives_from() -> None:
    assert code_of(QueueFull("full")) == 14
    assert code_of(NotInRepository.__new__(NotInRepository)) == 13


def test_a_message_has_replacement_characters_for_what_is_no_utf8() -> None:
    assert message_of(errors.NotFound("no model 'a\udcff'")) == "no model 'a\ufffd'"


def test_a_message_ends_where_a_quoted_name_has_a_nul() -> None:
    assert message_of(errors.NotFound("no region 'a\0b'")) == "no region 'a"

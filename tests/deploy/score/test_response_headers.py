"""Headers that the application adds to answers."""

import pytest
from tests.support.score_app import ECHO, Start, ask


def test_ids_and_trace_go_back_and_long_ones_are_refused(start: Start) -> None:
    app = start(ECHO)
    answer = ask(app, x_ms_client_request_id="mine", traceid="t")
    assert answer.header("x-ms-client-request-id") == "mine"
    assert answer.header("TraceId") == "t"
    assert len(answer.header("x-request-id") or "") == 36
    assert ask(app, x_request_id="a" * 101).status == 431


@pytest.mark.parametrize(
    ("allowed", "origin", "answered"),
    [
        (("http://a.com",), "http://a.com", "http://a.com"),
        (("http://A.com", "http://b.com"), "http://a.COM", "http://a.COM"),
        (("http://a.com",), "http://z.com", None),
        (("*",), "http://z.com", "http://z.com"),
        ((), "http://a.com", None),
    ],
)
def test_cross_origin_headers(start: Start, allowed: tuple[str, ...], origin: str, answered: str | None) -> None:
    app = start(ECHO, cors_origins=allowed)
    assert ask(app, origin=origin).header("Access-Control-Allow-Origin") == answered
    asked = ask(
        app, "OPTIONS", origin=origin, access_control_request_method="POST", access_control_request_headers="X-A"
    )
    assert asked.status == 200
    assert asked.header("Access-Control-Allow-Methods") == ("GET, POST" if answered else None)
    assert asked.header("Access-Control-Allow-Headers") == ("X-A" if answered else None)
    assert asked.header("Vary") == ("Origin" if answered and allowed != ("http://a.com",) else None)
    assert ask(app, "OPTIONS", origin=origin).header("Access-Control-Allow-Methods") is None


@pytest.mark.parametrize(
    ("allowed", "told"), [(("http://a.com",), "http://a.com"), (("http://a.com", "http://b"), None)]
)
def test_the_only_origin_is_told_to_who_names_none(start: Start, allowed: tuple[str, ...], told: str | None) -> None:
    assert ask(start(ECHO, cors_origins=allowed)).header("Access-Control-Allow-Origin") == told


def test_version_header_can_be_switched_off(start: Start) -> None:
    assert (ask(start(ECHO)).header("x-ms-server-version") or "").startswith("despina/")
    assert ask(start(ECHO, report_version=False)).header("x-ms-server-version") is None

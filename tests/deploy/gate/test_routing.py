import pytest

from despina.deploy.gate.routing import Destination, destination, is_work, strip_base

BASE = b"/api/v1/service/triton-webservice"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/v2/health/ready", b"/v2/health/ready"),
        (b"//v2/health/ready", b"/v2/health/ready"),
        (BASE + b"/v2/health/ready", b"/v2/health/ready"),
        (BASE + b"//v2/health/ready", b"/v2/health/ready"),
        (b"/" + BASE + b"/score?a=1", b"/score?a=1"),
        (BASE, b"/"),
        (BASE + b"/", b"/"),
        (BASE + b"?a=1", b"/?a=1"),
        (BASE + b"-other/score", BASE + b"-other/score"),
        (b"/score//x", b"/score//x"),
    ],
)
def test_base_path_and_repeated_slashes_go(target: bytes, path: bytes) -> None:
    assert strip_base(target, BASE) == path


@pytest.mark.parametrize(
    ("path", "server", "score", "expected"),
    [
        (b"/v2/models/m/infer", True, False, Destination.SERVER),
        (b"/anything", True, False, Destination.SERVER),
        (b"/v2/models/m/infer", True, True, Destination.SERVER),
        (b"/v2", True, True, Destination.SERVER),
        (b"/v2?a=1", True, True, Destination.SERVER),
        (b"/v2x", True, True, Destination.SCORE),
        (b"/score", True, True, Destination.SCORE),
        (b"/", True, True, Destination.SCORE),
        (b"/v2/health/ready", False, True, Destination.SCORE),
    ],
)
def test_who_answers(path: bytes, server: bool, score: bool, expected: Destination) -> None:
    assert destination(path, server=server, score=score) is expected


@pytest.mark.parametrize(
    ("method", "path", "work"),
    [
        (b"POST", b"/v2/models/m/infer", True),
        (b"GET", b"/score?a=1", True),
        (b"GET", b"/%73core", True),
        (b"GET", b"/score#a", True),
        (b"GET", b"/v2/health/ready", False),
        (b"GET", b"/", False),
    ],
)
def test_what_counts_against_the_limits(method: bytes, path: bytes, work: bool) -> None:
    assert is_work(method, path) is work

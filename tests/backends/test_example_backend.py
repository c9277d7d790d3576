"""`examples/backend`, served as docs/backends.md says."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.serving import serving

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "backend"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(EXAMPLE), prepend=os.pathsep)
        flags = [f"--model-repository={EXAMPLE / 'models'}"]
        with serving(ROOT / "model_repository", flags) as port:
            yield f"http://127.0.0.1:{port}/v2/models"


def infer(url: str, request: object) -> tuple[int, object]:
    try:
        with urllib.request.urlopen(f"{url}/infer", json.dumps(request).encode()) as answer:
            return answer.status, json.load(answer)["outputs"][0]["data"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["error"]


def files(*texts: str) -> object:
    return {"inputs": [{"name": "file", "shape": [len(texts), 1], "datatype": "BYTES", "data": texts}]}


def test_a_digit_in_a_file_is_read(server: str) -> None:
    status, answer = infer(f"{server}/drawn_digit", json.loads((EXAMPLE / "example.json").read_text()))
    assert status == 200
    assert str(answer).endswith(":2:two']")


def test_the_configuration_says_how_bright_white_is(server: str) -> None:
    halves = files("P2 8 8 2" + " 1" * 64, "P2 8 8 255" + " 255" * 64)
    assert infer(f"{server}/plain_pgm", halves) == (200, [8.0] * 64 + [16.0] * 64)


@pytest.mark.parametrize("file", ["", "P5 8 8 1" + " 1" * 64, "P2 8 8 1" + " 1" * 63, "P2 8 8 1" + " x" * 64])
def test_what_cannot_be_read_is_the_clients_mistake(server: str, file: str) -> None:
    expected = "input 'file': expected a plain PGM file of 8 by 8 pixels"
    assert infer(f"{server}/plain_pgm", files(file)) == (400, expected)
    assert infer(f"{server}/drawn_digit", files(file)) == (400, f"in ensemble 'drawn_digit', {expected}")

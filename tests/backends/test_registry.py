import subprocess
import sys

import pytest

from despina_backends.base import BackendError
from despina_backends.identity import load
from despina_backends.registry import resolve


def test_known_name_gives_its_factory() -> None:
    assert resolve("identity") is load


def test_module_and_attribute_give_a_users_own_backend() -> None:
    assert resolve("despina_backends.identity:load") is load


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "tensorflow",
            "unknown backend 'tensorflow': expected one of identity, onnxruntime, or 'package.module:attribute'",
        ),
        ("", "unknown backend ''"),
        (":load", "unknown backend ':load'"),
        ("no_such_module_here:load", "unable to import backend 'no_such_module_here:load': No module named"),
        ("despina_backends.identity:missing", "has no attribute 'missing'"),
        ("despina_backends.identity:__doc__", "is no backend"),
    ],
)
def test_what_is_no_backend_is_refused(name: str, text: str) -> None:
    with pytest.raises(BackendError) as caught:
        resolve(name)
    assert text in caught.value.message
    assert caught.value.code == "INVALID_ARG"


def test_resolving_onnxruntime_does_not_import_it() -> None:
    code = (
        "import sys, despina_backends.registry as r; r.resolve('onnxruntime'); sys.exit('onnxruntime' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

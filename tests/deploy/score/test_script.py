import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from despina.deploy.score.script import ScriptError, load_script
from despina.deploy.score.shims import install_shims


@pytest.fixture(autouse=True)
def restore_modules() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("azureml", "entry_module", "inference_schema")):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def run(data): pass", r"does not have a init\(\) function defined"),
        ("def init(): pass", r"does not have a run\(\) function defined"),
        ("def init(): pass\ndef run(): pass", r"run\(\) needs to accept an argument for input data\."),
        (
            "def init(): pass\ndef run(request_headers): pass",
            r'run\(\) needs to accept an argument other than "request_headers"\.',
        ),
        ("def init(): pass\ndef run(*args): pass", r"run\(\) cannot accept positional-only"),
        ("def init(): pass\ndef run(data, /): pass", r"run\(\) cannot accept positional-only"),
        ("def init(): pass\ndef run(data, **more): pass", r"run\(\) cannot accept positional-only"),
        ("import nothing_of_that_name", "Failed to import user script"),
        ("raise SystemExit(0)", "Failed to import user script"),
        ("def init(:", "Failed to import user script"),
    ],
)
def test_scripts_that_cannot_be_served(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "score.py").write_text(text)
    with pytest.raises(ScriptError, match=message):
        load_script(tmp_path / "score.py")


def test_missing_script_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match=r"No such entry script: .*score\.py"):
        load_script(tmp_path / "score.py")


def test_main_that_lacks_a_module_is_not_taken_for_one_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    with pytest.raises(ScriptError, match=r"No score script found\. Expected score script main\.py"):
        load_script(None)
    importlib.invalidate_caches()
    (tmp_path / "main.py").write_text("import absent_module")
    with pytest.raises(ScriptError, match="Failed to import user script"):
        load_script(None)


def test_raw_and_schema_together_are_refused(tmp_path: Path) -> None:
    install_shims()
    (tmp_path / "score.py").write_text(
        "from azureml.contrib.services.aml_request import rawhttp\n"
        "from inference_schema.schema_decorators import input_schema\n"
        "from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType\n"
        "def init(): pass\n@rawhttp\n@input_schema('data', StandardPythonParameterType(1))\ndef run(data): pass\n"
    )
    with pytest.raises(ScriptError, match="both @rawhttp and @input_schema"):
        load_script(tmp_path / "score.py")


def test_stand_ins_fill_gaps_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "azureml" / "core"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("real = True")
    monkeypatch.syspath_prepend(tmp_path)
    made = install_shims()
    import azureml.contrib.services.aml_request as request  # type: ignore[import-not-found]
    import azureml.core  # type: ignore[import-not-found]
    from azureml.core.model import Model  # type: ignore[import-not-found]

    assert azureml.core.real
    assert "azureml.core" not in made
    assert "azureml.core.model" in made
    assert hasattr(request, "rawhttp")
    assert hasattr(Model, "get_model_path")
    assert install_shims() == []


def test_dataclasses_and_pickle_find_the_script_as_a_module(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text(
        "import pickle\nfrom dataclasses import dataclass\n@dataclass\nclass Point:\n    x: 'int'\n"
        "def init(): pass\ndef run(data): return pickle.loads(pickle.dumps(Point(1))).x\n"
    )
    assert load_script(tmp_path / "score.py").run("") == 1


def test_tritonhttpclient_is_importable_as_the_page_prints_it() -> None:
    with pytest.warns(DeprecationWarning, match="tritonhttpclient"):
        import tritonhttpclient  # type: ignore[import-untyped]

    assert tritonhttpclient.InferInput("data_0", [1, 3], "FP32").name() == "data_0"

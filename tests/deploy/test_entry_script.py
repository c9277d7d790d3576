from pathlib import Path
from typing import Any

import pytest

from despina.deploy.entry_script import parse_inference_config
from despina.errors import InvalidArgument


def write(tmp_path: Path, name: str = "score.py", text: str = "def init(): pass\ndef run(data): pass\n") -> None:
    (tmp_path / "source_dir").mkdir(exist_ok=True)
    (tmp_path / "source_dir" / name).write_text(text)


def test_the_documented_form(tmp_path: Path) -> None:
    write(tmp_path)
    document = {
        "entryScript": "score.py",
        "sourceDirectory": "./source_dir",
        "environment": {
            "name": "my-deploy-env",
            "environmentVariables": {"WORKER_COUNT": 2},
            "python": {"condaDependencies": {"dependencies": ["python=3.6.2", {"pip": ["azureml-defaults", "nltk"]}]}},
            "docker": {"baseImage": "ubuntu"},
            "spark": {},
        },
    }
    spec = parse_inference_config(document, tmp_path, "ic.json")
    assert spec.source_directory == tmp_path / "source_dir"
    assert spec.environment is not None
    assert spec.environment.variables == {"WORKER_COUNT": "2"}
    assert spec.environment.packages == ("azureml-defaults", "nltk")
    assert spec.warnings == (
        "ic.json: environment.docker is ignored: scripts run in the interpreter of this installation",
    )


def test_packages_of_a_conda_file_beside_the_script(tmp_path: Path) -> None:
    write(tmp_path)
    # JSON is YAML, and is read without PyYAML too.
    (tmp_path / "source_dir" / "conda.json").write_text('{"dependencies": ["python=3.11", {"pip": ["nltk"]}]}')
    environment = {"name": "e", "python": {"condaDependenciesFile": "conda.json", "condaDependencies": None}}
    document = {"entryScript": "score.py", "sourceDirectory": "source_dir", "environment": environment}
    spec = parse_inference_config(document, tmp_path, "ic.json")
    assert spec.environment is not None
    assert (spec.environment.packages, spec.warnings) == (("nltk",), ())
    environment["python"] = {"condaDependenciesFile": "other.yml"}
    (warning,) = parse_inference_config(document, tmp_path, "ic.json").warnings
    assert warning.startswith("ic.json: environment.python.condaDependenciesFile: configuration file ")
    assert warning.endswith("other.yml does not exist; its packages are not checked")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("score.txt", "", "its name must end in .py"),
        ("my-score.py", "", "'my-score' cannot be imported: its name must be a Python identifier"),
        ("class.py", "", "'class' cannot be imported"),
        ("score.py", "def init(:\n", "line 1: "),
        ("score.py", "x = 1\n  y = 2\n", "line 2: unexpected indent"),
    ],
)
def test_scripts_that_cannot_be_one(tmp_path: Path, name: str, text: str, message: str) -> None:
    write(tmp_path, name, text)
    with pytest.raises(InvalidArgument) as caught:
        parse_inference_config({"entryScript": name, "sourceDirectory": "source_dir"}, tmp_path, "ic.json")
    assert f"entry script {name}: " in caught.value.message
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "ic.json: entryScript is missing"),
        ({"entryScript": "none.py", "sourceDirectory": "source_dir"}, "it does not exist in "),
        ({"entryScript": "score.py", "sourceDirectory": "none"}, "source directory .* does not exist"),
        ({"entryScript": "../score.py", "sourceDirectory": "source_dir"}, "it must lie in the source directory"),
        ({"entryScript": "score.py", "sourceDirectory": "source_dir", "environment": {}}, "environment: name"),
        (
            {"entryScript": "score.py", "sourceDirectory": "source_dir", "environment": "AzureML-Triton"},
            "ic.json: environment: expected an object, got 'AzureML-Triton'",
        ),
    ],
)
def test_configurations_that_do_not_lead_to_a_script(tmp_path: Path, document: dict[str, Any], message: str) -> None:
    write(tmp_path)
    (tmp_path / "score.py").write_text("")
    with pytest.raises(InvalidArgument, match=message):
        parse_inference_config(document, tmp_path, "ic.json")


def test_unknown_keys_are_told(tmp_path: Path) -> None:
    write(tmp_path)
    spec = parse_inference_config(
        {"entryScript": "score.py", "sourceDirectory": "source_dir", "colour": 1}, tmp_path, "ic.json"
    )
    assert spec.warnings == ("ic.json: unknown key colour is ignored",)

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from despina.cli.main import cli
from despina.cli.model import model


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(model, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("DESPINA_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    version = tmp_path / "models" / "triton" / "densenet_onnx" / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(b"weights")
    return tmp_path


def test_register_prints_json_on_stdout_and_findings_on_stderr(folder: Path) -> None:
    result = invoke("register", "-n", "my_triton_model", "-p", "models", "--model-framework=Multi", "-t", "meta.json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["id"] == "my_triton_model:1"
    assert (
        "model repository models/triton: 1 model\n  densenet_onnx: version 1 (no config.pbtxt, autofill)"
        in result.stderr
    )
    assert json.loads((folder / "meta.json").read_text()) == {"modelId": "my_triton_model:1"}
    assert (folder / ".despina" / "registry.db").exists()


def test_nothing_is_registered_where_its_id_cannot_be_written(folder: Path) -> None:
    result = invoke("register", "-n", "m", "-p", "models", "-t", "absent/meta.json")
    assert (result.exit_code, result.stderr) == (1, "Error: absent/meta.json: No such file or directory\n")
    assert not (folder / ".despina").exists()
    assert invoke("register", "-n", "m", "-p", "absent", "-t", "new.json").exit_code == 1
    assert not (folder / "new.json").exists()


def test_missing_model_gives_exit_1_and_names_what_exists(folder: Path) -> None:
    invoke("register", "-n", "my_triton_model", "-p", "models", "--model-framework", "Multi")
    result = invoke("show", "-i", "triton_model:1")
    assert result.exit_code == 1
    assert result.stderr == "Error: model triton_model:1 not found; have my_triton_model:1\n"
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["register", "-p", "models"],
        ["register", "-n", "m", "-p", "models", "--tag", "novalue"],
        ["register", "-n", "m", "-p", "models", "--model-framework", "Triton"],
        ["register", "-n", "m", "-p", "models", "--no-such-flag", "x"],
        ["show"],
        ["show", "-i", "m", "-n", "m"],
        ["show", "-n", "m", "--version", "0"],
        ["list", "--tag", "=x"],
    ],
)
def test_usage_errors_give_exit_2(folder: Path, arguments: list[str]) -> None:
    assert invoke(*arguments).exit_code == 2


def test_repository_that_cannot_be_served_is_not_registered(folder: Path) -> None:
    (folder / "models/triton/densenet_onnx/1/model.onnx").rename(folder / "models/triton/densenet_onnx/1/m.onnx")
    result = invoke("register", "-n", "m", "-p", "models", "--model-framework", "Multi")
    assert result.exit_code == 1
    assert "model densenet_onnx: version 1 has no model.onnx" in result.stderr
    assert not (folder / ".despina").exists()


def test_cloud_flags_are_accepted_with_one_warning(folder: Path) -> None:
    result = invoke("register", "-n", "m", "-p", "models", "-w", "ws", "-g", "group", "--run-id", "r")
    assert result.exit_code == 0
    assert result.stderr.count("warning") == 1
    assert "--workspace-name, --resource-group, --run-id ignored" in result.stderr
    assert json.loads(result.stdout)["id"] == "m:1"


def test_list_filters_and_prints_a_table(folder: Path) -> None:
    invoke("register", "-n", "a", "-p", "models", "--tag", "area=nlp")
    invoke("register", "-n", "a", "-p", "models")
    invoke("register", "-n", "b", "-p", "models")
    assert [row["id"] for row in json.loads(invoke("list", "-l").stdout)] == ["a:2", "b:1"]
    lines = invoke("list", "--tag", "area", "-o", "table").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["ID", "a:1"]
    assert json.loads(invoke("list", "--tag", "area=").stdout) == []


def test_download_update_delete_and_gc(folder: Path) -> None:
    resources = ("--cpu-cores", "2", "--memory-gb", "4", "--gpu-cores", "1")
    registered = json.loads(invoke("register", "-n", "m", "-p", "models", "--property", "p=1", *resources).stdout)
    assert registered["resourceConfiguration"] == {"cpu": 2, "memoryInGB": 4, "gpu": 1}
    down = json.loads(invoke("download", "-i", "m:1", "-t", "down").stdout)
    assert (Path(down["downloadPath"]) / "triton/densenet_onnx/1/model.onnx").read_bytes() == b"weights"
    assert invoke("download", "-i", "m:1", "-t", "down").exit_code == 1
    assert invoke("download", "-i", "m:1", "-t", "down", "--overwrite").exit_code == 0
    updated = json.loads(invoke("update", "-i", "m", "-d", "new", "--add-tag", "a=b").stdout)
    assert (updated["description"], updated["tags"]) == ("new", {"a": "b"})
    updated = json.loads(invoke("update", "-i", "m", "--add-tag", "c=", "--remove-tag", "a=b").stdout)
    assert updated["tags"] == {"c": ""}
    assert "immutable" in invoke("update", "-i", "m", "--add-property", "p=2").stderr
    assert json.loads(invoke("delete", "-i", "m:1").stdout)["id"] == "m:1"
    assert json.loads(invoke("gc").stdout) == {"files": 1, "size": 7}


def test_show_lists_the_files(folder: Path) -> None:
    invoke("register", "-n", "m", "-p", "models")
    shown = json.loads(invoke("show", "-n", "m", "--version", "1").stdout)
    assert [file["path"] for file in shown["files"]] == ["models/triton/densenet_onnx/1/model.onnx"]


@pytest.mark.parametrize("framework", ["Custom", "Multi"])
def test_home_in_the_registered_folder_is_not_stored(folder: Path, framework: str) -> None:
    for _ in range(2):
        assert invoke("register", "-n", "m", "-p", ".", "--model-framework", framework).exit_code == 0
    shown = json.loads(invoke("show", "-n", "m").stdout)
    assert [file["path"] for file in shown["files"]] == [f"{folder.name}/models/triton/densenet_onnx/1/model.onnx"]


def test_empty_path_is_not_the_current_folder(folder: Path) -> None:
    result = invoke("register", "-n", "m", "-p", "")
    assert result.exit_code == 1
    assert "the model path is empty: name a folder or a file" in result.stderr


def test_file_where_a_folder_belongs_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    invoke("register", "-n", "m", "-p", "models")
    (folder / "file").touch()
    result = invoke("download", "-i", "m", "-t", "file/down")
    assert (result.exit_code, result.stderr) == (1, "Error: file/down/models/triton/densenet_onnx/1: Not a directory\n")
    monkeypatch.setenv("DESPINA_HOME", str(folder / "file"))
    result = invoke("list")
    assert (result.exit_code, result.stderr) == (
        1,
        f"Error: DESPINA_HOME: expected a folder, and {folder / 'file'} is a file\n",
    )


def test_damaged_registry_is_one_line(folder: Path) -> None:
    (folder / ".despina").mkdir()
    (folder / ".despina" / "registry.db").write_bytes(b"garbage" * 100)
    for words in (["list"], ["register", "-n", "m", "-p", "models"], ["delete", "-i", "m"]):
        result = invoke(*words)
        assert result.exit_code == 1
        assert result.stderr.endswith(f"Error: registry {folder / '.despina/registry.db'}: file is not a database\n")


def test_deleted_current_folder_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "gone").mkdir()
    monkeypatch.chdir(folder / "gone")
    (folder / "gone").rmdir()
    for words in (["list"], ["register", "-n", "m", "-p", "."]):
        result = invoke(*words)
        assert result.exit_code == 1
        assert result.stderr == "Error: the current folder was deleted; change to one that exists\n"


@pytest.mark.parametrize("home", [None, "home"])
def test_registration_that_is_refused_leaves_no_home(
    folder: Path, monkeypatch: pytest.MonkeyPatch, home: str | None
) -> None:
    if home is not None:
        monkeypatch.setenv("DESPINA_HOME", home)
    before = sorted(folder.iterdir())
    for words in (
        ("m", "typo"),
        ("m", "models/triton/densenet_onnx", "--model-framework=Multi"),
        ("not allowed", "models"),
    ):
        assert invoke("register", "-n", words[0], "-p", *words[1:]).exit_code == 1
    (folder / "empty").mkdir()
    assert "holds no files" in invoke("register", "-n", "m", "-p", "empty").stderr
    assert sorted(folder.iterdir()) == sorted([*before, folder / "empty"])


def test_mistyped_home_is_named_and_not_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESPINA_HOME", str(folder / "typo"))
    for words in (["model", "list"], ["model", "gc"], ["service", "list"], ["compute", "list"]):
        result = CliRunner().invoke(cli, words)
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"DESPINA_HOME: {folder / 'typo'} does not exist" in result.stderr
    assert not (folder / "typo").exists()


def test_onnx_is_one_whole_model_file(folder: Path) -> None:
    for path, words in (("models", "is a folder"), ("models/triton/densenet_onnx/1/model.onnx", "not an ONNX model")):
        result = invoke("register", "-n", "m", "-p", path, "--model-framework", "Onnx")
        assert result.exit_code == 1
        assert words in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["register", "-n", "m", "-p", "models", "--tag", "area=\udcff"],
        ["register", "-n", "m", "-p", "models", "--property", "area=\udcff"],
        ["register", "-n", "m", "-p", "models", "--description", "area=\udcff"],
        ["update", "-i", "m", "--description", "area=\udcff"],
        ["update", "-i", "m", "--add-tag", "area=\udcff"],
        ["update", "-i", "m", "--remove-tag", "area=\udcff"],
        ["show", "--model-name", "area=\udcff"],
    ],
)
def test_text_that_is_not_utf_8_is_refused_in_one_sentence(folder: Path, arguments: list[str]) -> None:
    invoke("register", "-n", "m", "-p", "models")
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert result.stderr == f"Error: {arguments[-2]}: b'area=\\xff' is not text in UTF-8; write it in UTF-8\n"


@pytest.mark.parametrize(("content", "got"), [("{}", "none"), ('{"modelId": 5}', "5")])
def test_metadata_file_without_a_model_is_refused(folder: Path, content: str, got: str) -> None:
    invoke("register", "-n", "m", "-p", "models")
    (folder / "meta.json").write_text(content)
    result = invoke("deploy", "-n", "svc", "-f", "meta.json")
    assert result.exit_code == 1
    assert result.stderr == (
        f'Error: meta.json: expected "modelId": "NAME:VERSION", as `despina model register -t` writes it, got {got}\n'
    )

import pytest

from despina.errors import DespinaError
from despina.models.override import Override
from despina.models.source import Source
from despina.settings import Settings


def put(repository, name, config='backend: "identity"', versions=(1,)):
    for version in versions:
        (repository / name / str(version)).mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(config)
    return repository / name


def source(*repositories, **settings):
    return Source(Settings(model_repository=repositories, **settings))


def test_a_candidate_is_named_normalised_and_knows_its_versions(tmp_path):
    directory = put(tmp_path, "m", 'backend: "identity" version_policy { latest { num_versions: 2 } }', (1, 2, 10))
    found = source(tmp_path).candidate("m")
    assert (found.name, found.directory, found.versions) == ("m", directory, (2, 10))
    assert found.config.name == "m"
    assert found.config.optimization.input_pinned_memory.enable
    assert not found.overridden
    assert found.temporary is None


@pytest.mark.parametrize(("name", "there"), [("m", True), ("n", False), ("..", False), ("m/1", False), ("m\0", False)])
def test_a_repository_has_the_models_with_a_directory(tmp_path, name, there):
    put(tmp_path, "m")
    assert source(tmp_path).has(name) == there


def test_no_version_is_not_a_failed_poll(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.pbtxt").write_text('backend: "identity"')
    assert source(tmp_path).candidate("m").versions == ()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ghost", "model not found in any model repository"),
        ("", "model not found in any model repository"),
        ("..", "model not found in any model repository"),
        ("../one/m", "model not found in any model repository"),
        ("m\0", "model not found in any model repository"),
        ("m" * 300, "model not found in any model repository"),
        ("twice", "not unique across all model repositories"),
        ("broken", "failed to read text proto"),
        ("misnamed", "unexpected directory name 'misnamed' for model 'other'"),
        ("invalid", "dynamic batching preferred size must be <= max batch size for invalid"),
    ],
)
def test_why_a_poll_fails(tmp_path, name, reason):
    one, two = tmp_path / "one", tmp_path / "two"
    for repository in (one, two):
        put(repository, "twice")
    put(one, "m")
    put(one, "broken", "nonsense")
    put(one, "misnamed", 'name: "other" backend: "identity"')
    put(one, "invalid", 'backend: "identity" max_batch_size: 2 dynamic_batching { preferred_batch_size: 4 }')
    with pytest.raises(DespinaError) as error:
        source(one, two).candidate(name)
    assert reason in error.value.message


def test_names_tell_what_is_not_unique(tmp_path):
    for repository, name in (("one", "b"), ("one", "a"), ("two", "b")):
        put(tmp_path / repository, name)
    assert list(source(tmp_path / "one", tmp_path / "two").names().items()) == [("a", True), ("b", False)]
    assert list(source(tmp_path / "one", tmp_path / "two").stamps()) == ["a"]


def test_tensors_are_checked_at_once_without_completion(tmp_path):
    put(tmp_path, "m", 'backend: "identity" input { name: "x" dims: 1 }')
    assert source(tmp_path).candidate("m").config.input[0].name == "x"
    with pytest.raises(DespinaError, match="model input 'x' must specify 'data_type' for m"):
        source(tmp_path, strict_model_config=True).candidate("m")


def test_a_named_configuration_is_preferred(tmp_path):
    directory = put(tmp_path, "m")
    (directory / "configs").mkdir()
    (directory / "configs" / "big.pbtxt").write_text('backend: "identity" max_batch_size: 64')
    assert source(tmp_path, model_config_name="big").candidate("m").config.max_batch_size == 64
    assert source(tmp_path, model_config_name="none").candidate("m").config.max_batch_size == 0


def test_files_that_come_along_are_gone_when_they_cannot_be_used(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    models = source(tmp_path)
    with pytest.raises(DespinaError):
        models.candidate("m", Override('{"name":"other"}', {"1/model.bin": b"x"}))
    assert list((tmp_path / "scratch").iterdir()) == []
    found = models.candidate("m", Override('{"backend":"identity"}', {"3/model.bin": b"x"}))
    assert found.versions == (3,)
    found.temporary.cleanup()

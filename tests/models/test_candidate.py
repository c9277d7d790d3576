from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from despina.config.proto import ModelConfig
from despina.models.candidate import Candidate, is_modified, versions_to_load
from despina.repository.stamp import Stamp

BASE = {"": 1, "config.pbtxt": 1, "1": 1, "2": 1, "labels.txt": 1}


def candidate(stamp=BASE, versions=(1, 2), overridden=False, temporary=None, **fields):
    return Candidate("m", Path("m"), ModelConfig(name="m", **fields), versions, Stamp(stamp), overridden, temporary)


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (candidate(), False),
        (candidate({**BASE, "1": 2}), True),
        (candidate({**BASE, "3": 1}), True),
        (candidate(overridden=True), True),
    ],
)
def test_a_plain_load_follows_the_files_and_an_override_always_counts(new, expected):
    assert is_modified(candidate(), new) is expected


def test_an_overridden_configuration_stays_but_overridden_files_do_not(tmp_path):
    assert not is_modified(candidate(overridden=True), candidate())
    with TemporaryDirectory(dir=tmp_path) as directory:
        assert is_modified(candidate(temporary=directory), candidate())


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (candidate(versions=(1, 2, 3)), (3,)),
        (candidate(versions=(2,)), ()),
        (candidate({**BASE, "": 2, "2": 2}), (2,)),
        (candidate({**BASE, "config.pbtxt": 2}), ()),
        (candidate({**BASE, "labels.txt": 2}), (1, 2)),
        (candidate({**BASE, "config.pbtxt": 2}, max_batch_size=2), (1, 2)),
    ],
)
def test_versions_stay_when_neither_they_nor_what_they_share_changed(new, expected):
    assert versions_to_load(candidate(), new, frozenset([1, 2])) == expected


def test_a_version_that_is_not_ready_is_loaded():
    assert versions_to_load(candidate(), candidate(), frozenset([2])) == (1,)
    assert versions_to_load(None, candidate(), frozenset()) == (1, 2)

"""A repository of models and ensembles, and what may happen to its files while it is served."""

import random
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.fuzz.corpus import REPOSITORY

LIFECYCLE = REPOSITORY.parent / "repo_lifecycle"
PLACES: dict[str, Path] = {
    **{name: REPOSITORY / name for name in ("add_sub_int32", "add_sub_fp32_auto", "identity_bytes", "text_gen")},
    **{name: LIFECYCLE / name for name in ("mini", "mini_b", "mini_auto", "versions", "partly_bad", "bad_dims")},
}
_TENSOR = "data_type: TYPE_FP32 dims: [ 2 ]"
_ENSEMBLE = """platform: "ensemble" max_batch_size: 4
input [ {{ name: "INPUT0" {tensor} }} ] output [ {{ name: "OUTPUT0" {tensor} }} ]
ensemble_scheduling {{ step [
  {{ model_name: "{first}" model_version: -1 input_map {{ key: "INPUT0" value: "INPUT0" }}
     output_map {{ key: "OUTPUT0" value: "between" }} }},
  {{ model_name: "{second}" model_version: -1 input_map {{ key: "INPUT0" value: "between" }}
     output_map {{ key: "OUTPUT0" value: "OUTPUT0" }} }}
] }}
"""
ENSEMBLES = {"chain": ("mini", "mini_b"), "chain_of_chains": ("chain", "mini")}


@dataclass(frozen=True, slots=True)
class Change:
    """Something done to the files of a repository."""

    said: str
    apply: Callable[[Path], None]


def make_repository(target: Path) -> None:
    for name in PLACES:
        _restore(target, name)
    for name in ENSEMBLES:
        _restore(target, name)


def random_change(rng: random.Random) -> tuple[str, Change]:
    """Of the files of one model, with its name."""
    name = rng.choice([*PLACES, *ENSEMBLES, "mini", "mini_b", "versions", "mini"])
    number = rng.randint(1, 4)
    config = f"{name if name not in ENSEMBLES else 'mini'}/config.pbtxt"
    changes: tuple[tuple[str, Callable[[Path], None]], ...] = (
        ("restored", partial(_restore, name=name)),
        ("restored", partial(_restore, name=name)),
        ("removed", partial(_remove, path=name)),
        (f"version {number} added", partial(_add_version, name=name, number=number)),
        (f"version {number} added", partial(_add_version, name=name, number=number)),
        (f"version {number} removed", partial(_remove, path=f"{name}/{number}")),
        (f"version {number} cut short", partial(_cut, path=f"{name}/{number}/model.onnx")),
        ("configuration cut short", partial(_cut, path=config)),
        ("configuration removed", partial(_remove, path=config)),
        ("all versions", partial(_append, path=config, text="\nversion_policy: { all { } }\n")),
        ("a comment", partial(_append, path=config, text="\n# x\n")),
        ("another batch", partial(_another_batch, path=config, rows=rng.choice((1, 5, 6, 7)))),
        ("a queue", partial(_append, path=config, text="\ndynamic_batching { }\n")),
        ("a file beside", partial(_append, path=f"{name}/notes.txt", text="x")),
        (f"version {number} touched", partial(_append, path=f"{name}/{number}/notes.txt", text="x")),
    )
    said, apply = rng.choice(changes)
    return name, Change(f"{name}: {said}", apply)


def _restore(repository: Path, name: str) -> None:
    target = repository / name
    shutil.rmtree(target, ignore_errors=True)
    if name in ENSEMBLES:
        first, second = ENSEMBLES[name]
        (target / "1").mkdir(parents=True)
        (target / "config.pbtxt").write_text(_ENSEMBLE.format(tensor=_TENSOR, first=first, second=second))
    else:
        shutil.copytree(PLACES[name], target, copy_function=shutil.copy)


def _remove(repository: Path, path: str) -> None:
    shutil.rmtree(repository / path, ignore_errors=True)
    if (repository / path).is_file():
        (repository / path).unlink()


def _add_version(repository: Path, name: str, number: int) -> None:
    versions = [path for path in sorted((repository / name).glob("[0-9]")) if path.name != str(number)]
    if versions:
        shutil.copytree(versions[0], repository / name / str(number), dirs_exist_ok=True, copy_function=shutil.copy)


def _cut(repository: Path, path: str) -> None:
    if (repository / path).is_file():
        content = (repository / path).read_bytes()
        (repository / path).write_bytes(content[: len(content) // 2])


def _another_batch(repository: Path, path: str, rows: int) -> None:
    if (repository / path).is_file():
        content = (repository / path).read_text()
        (repository / path).write_text(re.sub(r"(max_batch_size: )\d+", rf"\g<1>{rows}", content))


def _append(repository: Path, path: str, text: str) -> None:
    if (repository / path).parent.is_dir():
        with (repository / path).open("a") as file:
            file.write(text)

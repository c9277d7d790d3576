"""What the scenarios are sent to: models that only copy, one for each way in which a configuration changes the path
of a request."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import onnx

from benchmarks.models import passing
from benchmarks.places import REPOSITORIES

ROWS = "max_batch_size: 64"
DYNAMIC = f"{ROWS} dynamic_batching {{ }}"
DELAYED = f"{ROWS} dynamic_batching {{ preferred_batch_size: [ 8 ] max_queue_delay_microseconds: 500 }}"
IDLE = "max_sequence_idle_microseconds: 5000000"


@dataclass(frozen=True, slots=True)
class Copies:
    """A model that gives back `tensors` tensors [rows, any width] of a datatype of numpy's; `object` are strings. They
    are called IN0 and OUT0, IN1 and OUT1 and so on. `scheduling` is the part of its configuration that differs."""

    dtype: str = "float32"
    tensors: int = 1
    scheduling: str = DYNAMIC
    instances: int = 1

    def write(self, folder: Path) -> None:
        version = folder / "1"
        version.mkdir(parents=True)
        onnx.save(passing.make_copies(self.dtype, self.tensors), version / "model.onnx")
        instances = f"instance_group [ {{ kind: KIND_CPU count: {self.instances} }} ]"
        threads = 'parameters { key: "intra_op_thread_count" value: { string_value: "1" } }'
        config = f'name: "{folder.name}"\nbackend: "onnxruntime"\n{self.scheduling}\n{instances}\n{threads}\n'
        (folder / "config.pbtxt").write_text(config)


@dataclass(frozen=True, slots=True)
class Chain:
    """An ensemble that sends one FP32 tensor through a model `steps` times."""

    model: str
    steps: int
    dtype: str = "float32"
    tensors: int = 1

    def write(self, folder: Path) -> None:
        names = ["IN0", *(f"between{number}" for number in range(1, self.steps)), "OUT0"]
        steps = [
            f'{{ model_name: "{self.model}" model_version: -1 input_map {{ key: "IN0" value: "{given}" }} '
            f'output_map {{ key: "OUT0" value: "{made}" }} }}'
            for given, made in pairwise(names)
        ]
        lines = [f'name: "{folder.name}"', 'platform: "ensemble"', "max_batch_size: 64"]
        lines.append('input [ { name: "IN0" data_type: TYPE_FP32 dims: [-1] } ]')
        lines.append('output [ { name: "OUT0" data_type: TYPE_FP32 dims: [-1] } ]')
        lines.append(f"ensemble_scheduling {{ step [ {', '.join(steps)} ] }}")
        (folder / "1").mkdir(parents=True)
        (folder / "config.pbtxt").write_text("\n".join(lines) + "\n")


SERVED: Mapping[str, Copies | Chain] = {
    "fp32": Copies(),
    "fp64": Copies("float64"),
    "fp16": Copies("float16"),
    "int64": Copies("int64"),
    "uint8": Copies("uint8"),
    "bool": Copies("bool"),
    "bytes": Copies("object"),
    "eight": Copies(tensors=8),
    "unbatched": Copies(scheduling="max_batch_size: 0"),
    "rows": Copies(scheduling=ROWS),
    "delayed": Copies(scheduling=DELAYED),
    "two": Copies(instances=2),
    "cached": Copies(scheduling=f"{DYNAMIC} response_cache {{ enable: true }}"),
    "direct": Copies(scheduling=f"{ROWS} sequence_batching {{ direct {{ }} {IDLE} }}"),
    "oldest": Copies(scheduling=f"{ROWS} sequence_batching {{ oldest {{ max_candidate_sequences: 64 }} {IDLE} }}"),
    "chain": Chain("fp32", 3),
}
"""By name."""


def write_repository() -> Path:
    """A repository with all of them, made anew."""
    root = REPOSITORIES / "scenarios"
    shutil.rmtree(root, ignore_errors=True)
    for name, model in SERVED.items():
        model.write(root / name)
    return root

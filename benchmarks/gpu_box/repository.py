"""The server's side of the benchmark: a repository with one model on GPU 0."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.models import model_file
from benchmarks.places import REPOSITORIES

FLAGS = ("--allow-metrics=false", "--allow-client-shm=true", "--exit-on-error=true")


@dataclass(frozen=True, slots=True)
class Serving:
    """How the model is served and loaded. Two instances hide the copies of one batch behind the other's computation."""

    max_batch_size: int = 64
    instances: int = 2
    delay_us: int = 1000
    connections: int = 256


def config_text(name: str, serving: Serving) -> str:
    """The model's config.pbtxt; inputs and outputs are left to auto-completion."""
    return "\n".join(
        [
            f'name: "{name}"',
            'backend: "onnxruntime"',
            f"max_batch_size: {serving.max_batch_size}",
            f"dynamic_batching {{ max_queue_delay_microseconds: {serving.delay_us} }}",
            f"instance_group [ {{ kind: KIND_GPU count: {serving.instances} gpus: 0 }} ]",
            "",
        ]
    )


def write_repository(name: str, serving: Serving) -> Path:
    """A repository with this model, made anew."""
    root = REPOSITORIES / "gpu"
    shutil.rmtree(root, ignore_errors=True)
    version = root / name / "1"
    version.mkdir(parents=True)
    shutil.copyfile(model_file(name), version / "model.onnx")
    (root / name / "config.pbtxt").write_text(config_text(name, serving))
    return root

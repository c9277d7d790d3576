"""Model repositories as they are measured: which models, how batched, on how many instances and threads."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.models import model_file
from benchmarks.places import REPOSITORIES


@dataclass(frozen=True, slots=True)
class Batching:
    """How a model is served, on the CPU or on GPU 0. None leaves it to the server's default."""

    max_batch_size: int = 64
    delay_us: int = 0
    instances: int | None = 1
    threads: int | None = 1
    device: Literal["cpu", "gpu"] = "cpu"

    def __str__(self) -> str:
        said = f"max_batch_size {self.max_batch_size}, dynamic_batching delay {self.delay_us} us"
        instances = "default" if self.instances is None else f"{self.instances} {self.device.upper()}"
        return f"{said}, {instances} instance(s), {self.threads or 'default'} intra-op thread(s)"


DEFAULTS = Batching(instances=None, threads=None)
"""As much as possible left to the server."""


def config_text(name: str, batching: Batching) -> str:
    """The model's config.pbtxt; inputs and outputs are left to auto-completion."""
    lines = [f'name: "{name}"', 'backend: "onnxruntime"', f"max_batch_size: {batching.max_batch_size}"]
    lines.append(f"dynamic_batching {{ max_queue_delay_microseconds: {batching.delay_us} }}")
    if batching.instances is not None:
        device = "KIND_GPU gpus: 0" if batching.device == "gpu" else "KIND_CPU"
        lines.append(f"instance_group [ {{ kind: {device} count: {batching.instances} }} ]")
    if batching.threads is not None:
        value = f'{{ string_value: "{batching.threads}" }}'
        lines.append(f'parameters {{ key: "intra_op_thread_count" value: {value} }}')
    return "\n".join(lines) + "\n"


def write_repository(label: str, models: Sequence[str], batching: Batching) -> Path:
    """A repository with these models, made anew."""
    root = REPOSITORIES / label
    shutil.rmtree(root, ignore_errors=True)
    for name in models:
        version = root / name / "1"
        version.mkdir(parents=True)
        (version / "model.onnx").hardlink_to(model_file(name))
        (root / name / "config.pbtxt").write_text(config_text(name, batching))
    return root

"""What the process of an instance is told when it starts."""

from dataclasses import dataclass

from despina_backends.base import Device, LoadOptions
from despina_backends.process.places import BatchTensors


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make the instance: name of its backend, what that was loaded with, the device, and what crosses."""

    backend: str
    options: LoadOptions
    device: Device
    tensors: BatchTensors

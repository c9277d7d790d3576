"""The process of an instance: loads what the server has loaded, then runs batch after batch until the pipe ends."""

import gc
import os
import pickle
import sys
import traceback
from mmap import mmap
from time import monotonic_ns

from despina_backends.base import BackendError, Batch, Instance
from despina_backends.process.messages import RAN, RUN
from despina_backends.process.places import Place
from despina_backends.process.recipe import Recipe
from despina_backends.registry import resolve


def main(memory: int, runs: int, answers: int) -> None:
    """Serve on these inherited file descriptors; the recipe comes on the standard input."""
    recipe: Recipe = pickle.load(sys.stdin.buffer)
    try:
        backend = resolve(recipe.backend)(recipe.options)
        instance = backend.instance(recipe.device)
    except BackendError as error:  # no mistake of ours: files may have changed since the server loaded them
        sys.exit(f"error: {error}")
    tensors = recipe.tensors
    places = tensors.views(mmap(memory, os.fstat(memory).st_size))
    gc.collect()
    gc.freeze()
    os.write(answers, RAN.pack(True, 0, 0, 0))
    outputs = [tensor.name for tensor in tensors.outputs]
    while message := os.read(runs, RUN.size):
        number, rows, wanted = RUN.unpack(message)
        names = tuple(name for bit, name in enumerate(outputs) if wanted >> bit & 1)
        os.write(answers, run(instance, places[number], rows, names))


def run(instance: Instance, place: Place, rows: int, outputs: tuple[str, ...]) -> bytes:
    """Run the batch in this place and put the outputs beside it. A failure is reported without its reason: the server
    runs the batch itself then, and hears. Only what no backend should raise is printed."""
    started = monotonic_ns()
    try:
        inputs = {name: (array[:rows],) for name, array in place.inputs.items()}
        execution = instance.execute(Batch(inputs, rows, outputs))
        for name in outputs:
            made, room = execution.outputs[name], place.outputs[name]
            if made.shape != (rows, *room.shape[1:]) or made.dtype != room.dtype:
                raise ValueError(f"output '{name}' has shape {made.shape} and dtype {made.dtype}")
            room[:rows] = made
    except Exception as error:
        if not isinstance(error, BackendError):
            traceback.print_exc()
        return RAN.pack(False, started, started, monotonic_ns())
    return RAN.pack(True, started, execution.input_end_ns, execution.infer_end_ns)

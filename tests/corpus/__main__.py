"""`python -m tests.corpus [every]`: are ONNX's own test models served as ONNX Runtime runs them?

Every `every`-th (1 for all, else 10) of some 1,900 models of one operator each, of all types and shapes, is served from
one repository without configurations. What ONNX Runtime runs must be answered alike, or be refused for a known reason.
"""

import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import tritonclient.http as triton
from benchmarks.server_process import free_port, start
from onnx.backend.test.case.node import collect_testcases
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

SERVE = (
    sys.executable,
    "-m",
    "despina",
    "serve",
    "--http-address=127.0.0.1",
    "--allow-metrics=false",
    "--allow-grpc=false",
)
WHATEVER_LOADS = ("--exit-on-error=false", "--model-control-mode=explicit", "--load-model=*")
KNOWN = re.compile("Unsupported ONNX Type|must specify 'data_type'|dimension must be integer >= 1|onnx runtime error")
"""Why a model may be refused: types and empty tensors that the protocol or a configuration has no word for."""

Case = Any
Feed = dict[str, Any]


def feeds(case: Case) -> Iterator[Feed]:
    """The requests of a test that can be sent: tensors of numpy's own types, and text."""
    names = [tensor.name for tensor in case.model.graph.input]
    for inputs, _ in case.data_sets or ():
        values = [np.asarray(value) if isinstance(value, np.generic) else value for value in inputs]
        if all(isinstance(value, np.ndarray) and value.dtype.kind in "biufOUS" for value in values):
            texts = [value.astype(object) if value.dtype.kind in "OUS" else value for value in values]
            yield dict(zip(names, texts, strict=False))


def run_here(path: Path, feed: Feed) -> dict[str, Any] | None:
    """What ONNX Runtime makes of it; None when it does not run."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, feed), strict=True))
    except Exception:
        return None


def ask(client: triton.InferenceServerClient, model: str, feed: Feed, *, binary: bool) -> triton.InferResult:
    inputs = []
    for name, value in feed.items():
        item = triton.InferInput(name, list(value.shape) or [1], np_to_triton_dtype(value.dtype))
        inputs.append(item.set_data_from_numpy(value.reshape(value.shape or (1,)), binary_data=binary))
    names = [output["name"] for output in client.get_model_metadata(model)["outputs"]]
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in names]
    return client.infer(model, inputs, outputs=wanted)


def differences(got: triton.InferResult, expected: dict[str, Any]) -> Iterator[str]:
    for name, value in expected.items():
        array, wanted = got.as_numpy(name), np.asarray(value)
        if array is None or array.shape != (wanted.shape or (1,)):
            yield f"{name}: shape {None if array is None else array.shape}, ONNX Runtime has {wanted.shape}"
        elif wanted.dtype == object:
            texts = [text.decode() if isinstance(text, bytes) else text for text in array.ravel()]
            if texts != wanted.ravel().tolist():
                yield f"{name}: other texts"
        elif not np.allclose(array.reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-6, equal_nan=True):
            yield f"{name}: other values"


def complaints(client: triton.InferenceServerClient, case: Case, path: Path) -> Iterator[str]:
    for feed in feeds(case):
        expected = run_here(path, feed)
        if expected is None or any(isinstance(value, list | type(None)) for value in expected.values()):
            continue
        has_halves = any(value.dtype == np.float16 for value in (*feed.values(), *map(np.asarray, expected.values())))
        for binary in (True,) if has_halves else (True, False):
            try:
                yield from differences(ask(client, case.name, feed, binary=binary), expected)
            except InferenceServerException as error:
                yield str(error)


def main(every: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        repository, port = Path(folder) / "repository", free_port()
        with warnings.catch_warnings(action="ignore"):  # The tests divide by zero to know what comes of it.
            found = [case for case in collect_testcases(None)[::every] if case.model]
        for case in found:
            (repository / case.name / "1").mkdir(parents=True)
            onnx.save(case.model, repository / case.name / "1" / "model.onnx")
        command = [*SERVE, *WHATEVER_LOADS, f"--http-port={port}", f"--model-repository={repository}"]
        server = start(command, port, Path(folder) / "log", "/v2", timeout_s=600)
        try:
            client = triton.InferenceServerClient(f"127.0.0.1:{port}")
            index = [one for one in client.get_model_repository_index() if one.get("state") != "READY"]
            refused = {one["name"]: one.get("reason", "") for one in index}
            wrong = [f"{name}: {reason}" for name, reason in refused.items() if not KNOWN.search(reason)]
            for case in found:
                if case.name not in refused:
                    path = repository / case.name / "1" / "model.onnx"
                    wrong += [f"{case.name}: {text}" for text in complaints(client, case, path)]
        finally:
            server.stop()
        log = (Path(folder) / "log").read_text()
    wrong += ["a traceback in the log"] if "Traceback" in log else []
    print(*wrong, f"{len(found)} models, {len(refused)} refused, {len(wrong)} complaints", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10))

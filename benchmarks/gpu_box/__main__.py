"""`python -m benchmarks.gpu_box FOLDER`: the GPU tests and the GPU benchmark, without a network."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from benchmarks.gpu_box.install import check_environment, install
from benchmarks.gpu_box.libraries import check_libraries, environment, library_folders
from benchmarks.gpu_box.problem import Problem
from benchmarks.gpu_box.provider import check
from benchmarks.gpu_box.wheel import wheels_in
from benchmarks.places import HERE, OUT
from benchmarks.signals import end_cleanly


def prepare(folder: Path, work: Path) -> dict[str, str]:
    """Install what is in `folder`, find the libraries, check the provider; the environment to go on in. Raises
    Problem."""
    check_environment()
    target = work / "packages"
    install(wheels_in(folder, work / "joined"), target)
    folders = library_folders([str(target), *sys.path])
    env = environment(target, folders)
    check_libraries(folders, cuda_major(env))
    found = check(env)
    print(f"onnxruntime {found['version']}, CUDA {found['cuda']}: {', '.join(found['providers'])}", file=sys.stderr)
    return env


def cuda_major(env: Mapping[str, str]) -> int:
    """The CUDA that the installed ONNX Runtime was built for; 0 for none."""
    program = "import onnxruntime; print((getattr(onnxruntime, 'cuda_version', '') or '0').split('.')[0])"
    done = subprocess.run([sys.executable, "-c", program], env=dict(env), capture_output=True, text=True, check=False)
    if done.returncode:
        raise Problem(f"the installed onnxruntime-gpu cannot be imported: {done.stderr.strip().splitlines()[-1]}")
    return int(done.stdout)


def run_tests(env: Mapping[str, str], output: Path) -> int:
    """tests/gpu, whose report goes to OUTPUT/tests.xml."""
    output.mkdir(parents=True, exist_ok=True)
    report = f"--junitxml={output.absolute() / 'tests.xml'}"
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-rs", "-v", "tests/gpu", report]
    return _call(command, env)


def run_benchmark(env: Mapping[str, str], output: Path, models: tuple[str, ...]) -> int:
    command = [sys.executable, "-m", "benchmarks.gpu_box.measure", str(output.absolute()), *models]
    return _call(command, env)


def _call(command: Sequence[str], env: Mapping[str, str]) -> int:
    """As `subprocess.call`, which kills what it called when it is ended itself; that has a server to stop."""
    with subprocess.Popen(command, env=dict(env), cwd=HERE.parent) as process:
        try:
            return process.wait()
        except SystemExit:
            process.terminate()
            raise


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--output", default=OUT / "gpu", type=click.Path(path_type=Path), help="Where results go.")
@click.option("--only", type=click.Choice(["check", "tests", "bench"]), help="Else all three.")
@click.option("--model", "models", multiple=True, help="Models of benchmarks/models; repeatable. Else three in FP16.")
def main(folder: Path, output: Path, only: str | None, models: tuple[str, ...]) -> None:
    """FOLDER holds the wheel of onnxruntime-gpu, whole or in the parts `split` makes, and any other wheels wanted."""
    try:
        env = prepare(folder, OUT / "gpu-box")
    except Problem as problem:
        raise click.ClickException(str(problem)) from None
    status = 0
    if only in (None, "tests"):
        status = run_tests(env, output)
    if only in (None, "bench"):
        status = run_benchmark(env, output, models) or status
    sys.exit(status)


if __name__ == "__main__":
    end_cleanly()
    main(prog_name="python -m benchmarks.gpu_box")

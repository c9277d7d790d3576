"""`python -m benchmarks.peers.triton_onnxruntime [SOURCES]`: compile the backend, once per version of ONNX Runtime."""

from pathlib import Path

import click

from benchmarks.peers.triton_onnxruntime.build import build
from benchmarks.peers.triton_onnxruntime.runtime import ROOT, Runtime
from benchmarks.peers.triton_onnxruntime.sources import NotBuilt


@click.command()
@click.argument("sources", default=ROOT / "sources", type=click.Path(file_okay=False, path_type=Path))
def main(sources: Path) -> None:
    """Compile tritonserver's ONNX Runtime backend for the peer tritonserver-onnxruntime.

    SOURCES is a folder of checkouts: onnxruntime_backend, backend, core, common and onnxruntime. Those that are not
    there are cloned from GitHub.
    """
    try:
        runtime = Runtime.installed()
        build(sources.absolute(), runtime)
    except NotBuilt as reason:
        raise click.ClickException(str(reason)) from None
    print(f"built with ONNX Runtime {runtime.version}: {runtime.backends}")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.peers.triton_onnxruntime")

"""Other servers with the same model, each installed by pip into an environment of its own when it is first wanted."""

from collections.abc import Callable, Mapping, Sequence

from benchmarks.contender import Contender
from benchmarks.measurement import Kind
from benchmarks.peers.flask_gunicorn import FlaskGunicorn
from benchmarks.peers.litserve import LitServe
from benchmarks.peers.mlserver import MLServer
from benchmarks.peers.mosec import Mosec
from benchmarks.peers.pytriton import PyTriton
from benchmarks.peers.tritonserver import TritonServer
from benchmarks.peers.tritonserver_onnxruntime import TritonServerOnnxRuntime
from benchmarks.repository import Batching
from benchmarks.workload import Workload

Peer = Callable[[Workload, Batching, Sequence[Kind]], Contender]
"""The forms of requests are those that will be asked for: gRPC is only served where it is."""


def fixed(make: Callable[[Workload], Contender]) -> Peer:
    """A peer with settings of its own, whatever despina's are; its `about` says which."""
    return lambda workload, batching, kinds: make(workload)


PEERS: Mapping[str, Peer] = {
    "tritonserver": lambda workload, batching, kinds: TritonServer(workload, kinds=kinds),
    "tritonserver-onnxruntime": lambda workload, batching, kinds: TritonServerOnnxRuntime(
        workload, batching, kinds=kinds
    ),
    "pytriton": fixed(PyTriton),
    "mlserver": fixed(MLServer),
    "litserve": fixed(LitServe),
    "mosec": fixed(Mosec),
    "flask": fixed(FlaskGunicorn),
}
"""Name on the command line to what serves one model there."""

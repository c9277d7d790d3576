"""Other servers with the same model, each installed by pip into an environment of its own when it is first wanted."""

from collections.abc import Callable, Mapping

from benchmarks.contender import Contender
from benchmarks.peers.flask_gunicorn import FlaskGunicorn
from benchmarks.peers.litserve import LitServe
from benchmarks.peers.mlserver import MLServer
from benchmarks.peers.mosec import Mosec
from benchmarks.peers.pytriton import PyTriton
from benchmarks.peers.tritonserver import TritonServer
from benchmarks.workload import Workload

PEERS: Mapping[str, Callable[[Workload], Contender]] = {
    "tritonserver": TritonServer,
    "pytriton": PyTriton,
    "mlserver": MLServer,
    "litserve": LitServe,
    "mosec": Mosec,
    "flask": FlaskGunicorn,
}
"""Name on the command line to what serves one model there."""

"""Where the harness keeps what it makes. Nothing under OUT is committed."""

from pathlib import Path

HERE = Path(__file__).parent
OUT = HERE / "out"
BUILT = OUT / "built"
REPOSITORIES = OUT / "repositories"
REQUESTS = OUT / "requests"
PEERS = OUT / "peers"
RESULTS = HERE / "results"

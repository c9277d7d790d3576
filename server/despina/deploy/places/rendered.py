"""What an earlier `--render` into the same folder chose, so that the next one fits it."""

import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from despina.deploy.gate.keys import Keys
from despina.deploy.kubernetes.workload import GENERATION_LABEL, INSTANCE_LABEL, Document


@dataclass(frozen=True, slots=True)
class Rendered:
    """A cluster may have these already: the generation, because its ConfigMap cannot change, and the clients' keys."""

    generation: int = 0
    keys: Keys | None = None


def rendered_before(directory: Path, name: str) -> Rendered:
    """Nothing where the folder has no manifests of this service."""
    generation, keys = 0, None
    for document in _documents(directory, name):
        generation = max(generation, int(document["metadata"]["labels"].get(GENERATION_LABEL, 0)))
        if document["kind"] == "Secret":
            keys = Keys.from_json({key: b64decode(value).decode() for key, value in document["data"].items()})
    return Rendered(generation, keys)


def _documents(directory: Path, name: str) -> Iterator[Document]:
    for path in directory.glob(f"{name}-*.json"):
        try:
            document = json.loads(path.read_bytes())
            if document["metadata"]["labels"][INSTANCE_LABEL] == name:
                yield document
        except (ValueError, KeyError, TypeError):
            continue  # somebody else's file

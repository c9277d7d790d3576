"""Manifests as files. JSON is YAML too: `kubectl apply --server-side -f DIR` takes them, and so do other tools."""

import json
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from despina.deploy.gate.keys import Keys
from despina.deploy.json_file import write_json
from despina.deploy.kubernetes.workload import GENERATION_LABEL, INSTANCE_LABEL, Document


def write_manifests(documents: Sequence[Document], directory: Path) -> list[Path]:
    """One file each, numbered in the order of applying. A Secret's is for its owner's eyes only.

    What an earlier rendering of the same service left in the folder is removed last: on a full disk its keys stay.
    """
    name = documents[0]["metadata"]["labels"][INSTANCE_LABEL]
    before = _manifests_in(directory, name)
    paths = [directory / f"{name}-{place}-{one['kind'].lower()}.json" for place, one in enumerate(documents)]
    for path, document in zip(paths, documents, strict=True):
        write_json(path, document, 0o600 if document["kind"] == "Secret" else 0o644)
    for path in before:
        if path not in paths:
            path.unlink()
    return paths


def to_list(documents: Sequence[Document]) -> str:
    """One document that holds them all, for kubectl's standard input."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(documents)})


@dataclass(frozen=True, slots=True)
class Rendered:
    """What an earlier rendering chose, so that the next one fits it. A cluster may have these already: the generation,
    because its ConfigMap cannot change, and the clients' keys."""

    generation: int = 0
    keys: Keys | None = None


def rendered_before(directory: Path, name: str) -> Rendered:
    """Nothing where the folder has no manifests of this service."""
    generation, keys = 0, None
    for document in _manifests_in(directory, name).values():
        generation = max(generation, int(document["metadata"]["labels"].get(GENERATION_LABEL, 0)))
        if document["kind"] == "Secret":
            keys = Keys.from_json({key: b64decode(value).decode() for key, value in document["data"].items()})
    return Rendered(generation, keys)


def _manifests_in(directory: Path, name: str) -> dict[Path, Document]:
    """Those of the service of this name; files of somebody else are left out."""
    found: dict[Path, Document] = {}
    for path in directory.glob(f"{name}-*.json"):
        try:
            document = json.loads(path.read_bytes())
            if document["metadata"]["labels"][INSTANCE_LABEL] == name:
                found[path] = document
        except (ValueError, KeyError, TypeError):
            continue
    return found

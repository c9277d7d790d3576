"""Manifests as files. JSON is YAML too: `kubectl apply --server-side -f DIR` takes them, and so do other tools."""

import json
from collections.abc import Sequence
from pathlib import Path

from despina.deploy.json_file import write_json
from despina.deploy.kubernetes.workload import INSTANCE_LABEL, Document


def write_manifests(documents: Sequence[Document], directory: Path) -> list[Path]:
    """One file each, numbered in the order of applying. A Secret's is for its owner's eyes only.

    What an earlier rendering of the same service left in the folder is removed last: on a full disk its keys stay.
    """
    name = documents[0]["metadata"]["labels"][INSTANCE_LABEL]
    before = [path for path in directory.glob(f"{name}-*.json") if _service_of(path) == name]
    paths = [directory / _file_name(name, place, document) for place, document in enumerate(documents)]
    for path, document in zip(paths, documents, strict=True):
        write_json(path, document, 0o600 if document["kind"] == "Secret" else 0o644)
    for path in before:
        if path not in paths:
            path.unlink()
    return paths


def to_list(documents: Sequence[Document]) -> str:
    """One document that holds them all, for kubectl's standard input."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(documents)})


def _service_of(path: Path) -> str | None:
    try:
        name: str = json.loads(path.read_bytes())["metadata"]["labels"][INSTANCE_LABEL]
    except (ValueError, KeyError, TypeError):
        return None  # somebody else's file
    return name


def _file_name(name: str, place: int, document: Document) -> str:
    return f"{name}-{place}-{document['kind'].lower()}.json"

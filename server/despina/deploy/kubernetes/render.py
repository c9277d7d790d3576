"""Manifests as files. JSON is YAML too: `kubectl apply -f DIR` takes them, and so does every tool around it."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from despina.deploy.kubernetes.workload import INSTANCE_LABEL, Document


def write_manifests(documents: Sequence[Document], directory: Path) -> list[Path]:
    """One file each, numbered in the order of applying. A Secret's is for its owner's eyes only.

    What an earlier rendering of the same service left in the folder is removed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    name = documents[0]["metadata"]["labels"][INSTANCE_LABEL]
    for path in directory.glob(f"{name}-*.json"):
        if _service_of(path) == name:
            path.unlink()
    return [_write(document, directory / _file_name(name, place, document)) for place, document in enumerate(documents)]


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


def _write(document: Document, path: Path) -> Path:
    mode = 0o600 if document["kind"] == "Secret" else 0o644
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        json.dump(document, file, indent=2)
        file.write("\n")
    return path

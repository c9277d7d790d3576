"""`python -m despina.deploy.kubernetes.pod.fetch`: brings models and script into the pod, before anything starts.

Every byte is checked against the SHA-256 it was registered with. What has arrived stays when the container is started
again, so a broken transfer goes on where it was.
"""

import http.client
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from despina.deploy.blobs import Blobs
from despina.deploy.entry_script import InferenceSpec
from despina.deploy.kubernetes.pod.contents import PodContents
from despina.deploy.kubernetes.pod.places import (
    APP_ROOT,
    BLOBS_FOLDER,
    CLAIM_FOLDER,
    CONFIG_FOLDER,
    SERVICE_FILE,
    SOURCE_FILE,
)
from despina.deploy.kubernetes.pod.source import unpack_source
from despina.deploy.prepare import prepare_generation
from despina.errors import DespinaError, NotFound, Unavailable

CHUNK = 1 << 20
SILENCE_SECONDS = 60.0

Put = Callable[[str], str]
"""Stores the blob with a given SHA-256, and returns the one its content has."""


def fetch_blobs(contents: PodContents, blobs: Blobs, put: Put) -> int:
    """Stores the models' content; returns how many blobs were missing. Raises DespinaError: a blob is not to be had, or
    is not what was registered."""
    wanted = _wanted(contents)
    missing = sorted(sha for sha in wanted if not blobs.path(sha).exists())
    for sha256 in missing:
        if (got := put(sha256)) != sha256:
            if got not in wanted:  # or each further try would leave as much again
                blobs.path(got).unlink(missing_ok=True)
            raise DespinaError(f"the content of blob {sha256} is not what was registered: its SHA-256 is {got}")
    return len(missing)


def from_claim(claim: Path, blobs: Blobs) -> Put:
    """From a volume that holds a copy of a home directory's `blobs/`."""
    stored = Blobs(claim)

    def put(sha256: str) -> str:
        path = stored.path(sha256)
        if not path.is_file():
            raise NotFound(f"{path} is missing: copy the folder blobs/ of the home directory into the volume again")
        return blobs.put(path).sha256

    return put


def from_url(url: str, blobs: Blobs, folder: Path) -> Put:
    """From a web server that publishes a home directory's `blobs/`; `folder` takes what is under way."""

    def put(sha256: str) -> str:
        address = f"{url.rstrip('/')}/sha256/{sha256[:2]}/{sha256}"
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            _download(address, Path(file.name))
            return blobs.put(Path(file.name)).sha256

    return put


def lay_out(contents: PodContents, blobs: Blobs, packed: bytes | None, root: Path) -> list[str]:
    """Makes the app root as on one machine; returns what the user should know."""
    if packed is None or contents.spec.script is None:
        return prepare_generation(root, blobs, contents.records, None)
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        unpack_source(packed, Path(folder))
        inference = InferenceSpec(contents.spec.script.entry_script, Path(folder))
        return prepare_generation(root, blobs, contents.records, inference)


def _wanted(contents: PodContents) -> set[str]:
    return {file.sha256 for record in contents.records for file in record.files if file.sha256 is not None}


def _download(address: str, target: Path) -> None:
    try:
        with urllib.request.urlopen(address, timeout=SILENCE_SECONDS) as answer, target.open("wb") as file:
            while chunk := answer.read(CHUNK):
                file.write(chunk)
            if rest := getattr(answer, "length", None):  # of what Content-Length said
                raise Unavailable(f"{address}: the transfer ended {rest} bytes early")
    except urllib.error.HTTPError as error:
        with error:
            raise Unavailable(f"{address}: {error}") from None
    except (OSError, http.client.HTTPException) as error:  # URLError is one of the former, a broken chunk of the latter
        raise Unavailable(f"{address}: {error}") from None


def main() -> None:
    try:
        contents = PodContents.from_text((CONFIG_FOLDER / SERVICE_FILE).read_bytes())
        source = CONFIG_FOLDER / SOURCE_FILE
        blobs = Blobs(BLOBS_FOLDER)
        url = contents.models_url
        put = from_claim(CLAIM_FOLDER, blobs) if url is None else from_url(url, blobs, BLOBS_FOLDER.parent)
        count = fetch_blobs(contents, blobs, put)
        packed = source.read_bytes() if source.exists() else None
        for warning in lay_out(contents, blobs, packed, APP_ROOT):
            sys.stderr.write(f"warning: {warning}\n")
    except DespinaError as error:
        sys.exit(error.message)
    sys.stderr.write(f"{', '.join(contents.spec.models) or 'no model'}: {count} files fetched and checked\n")


if __name__ == "__main__":
    main()

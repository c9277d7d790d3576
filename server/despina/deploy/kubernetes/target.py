"""Compute targets: clusters that services can be deployed to, by name. One JSON file each in the home directory."""

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from despina.deploy.home import Home
from despina.deploy.json_file import read_json, write_json
from despina.deploy.value_kinds import is_label, is_subdomain
from despina.errors import AlreadyExists, InvalidArgument, NotFound

NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{1,31}")


class Exposure(enum.StrEnum):
    """How a service is reached from outside the cluster."""

    INGRESS = "ingress"
    LOAD_BALANCER = "load-balancer"
    NONE = "none"


class ScalingMetric(enum.StrEnum):
    """What the autoscaler looks at. `auto` asks the cluster whether it can see requests in flight."""

    AUTO = "auto"
    IN_FLIGHT = "in-flight"
    CPU = "cpu"


@dataclass(frozen=True, slots=True)
class ComputeTarget:
    """A place in a cluster, and how pods there get their image and their models.

    `kubeconfig` and `context` None leave the choice to kubectl. Models come from a copy of the home directory's
    `blobs/`: in the volume claim `model_claim`, or below `model_url`; exactly one of the two.
    """

    name: str
    image: str
    namespace: str = "default"
    kubeconfig: Path | None = None
    context: str | None = None
    model_claim: str | None = None
    model_url: str | None = None
    expose: Exposure = Exposure.INGRESS
    ingress_class: str | None = None
    ingress_host: str | None = None
    tls_secret: str | None = None
    pull_secret: str | None = None
    scaling_metric: ScalingMetric = ScalingMetric.AUTO

    def to_json(self) -> dict[str, Any]:
        said = {_key(one.name): getattr(self, one.name) for one in fields(self)}
        kubeconfig = None if self.kubeconfig is None else str(self.kubeconfig)
        return {"name": self.name, "computeType": "Kubernetes", **said, "kubeconfig": kubeconfig}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "ComputeTarget":
        said = {one.name: document[_key(one.name)] for one in fields(cls)}
        if said["kubeconfig"] is not None:
            said["kubeconfig"] = Path(said["kubeconfig"])
        said["expose"], said["scaling_metric"] = Exposure(said["expose"]), ScalingMetric(said["scaling_metric"])
        return cls(**said)


class ComputeTargets:
    """The compute targets of one home directory."""

    def __init__(self, home: Home) -> None:
        self._folder = home.directory / "compute"

    def attach(self, target: ComputeTarget, *, overwrite: bool = False) -> None:
        """Raises InvalidArgument: all that is wrong with the target, in one message. Raises AlreadyExists: the name is
        taken and `overwrite` is false."""
        if problems := list(_problems(target)):
            raise InvalidArgument(f"compute target {target.name}: " + "; ".join(problems))
        path = self._folder / f"{target.name}.json"
        if path.exists() and not overwrite:
            raise AlreadyExists(f"compute target {target.name} is attached already; say --overwrite to replace it")
        write_json(path, target.to_json(), 0o644)

    def get(self, name: str) -> ComputeTarget:
        """Raises NotFound: it is not attached; the message names those that are."""
        path = self._folder / f"{name}.json"
        if not NAME.fullmatch(name) or not path.exists():
            have = ", ".join(target.name for target in self.all()) or "none"
            raise NotFound(
                f"compute target {name} is not attached; have {have}. "
                f"`despina compute attach {name} --image IMAGE --model-claim CLAIM` (or --model-url URL) attaches it; "
                "deploy without --compute-target to run on this machine"
            )
        return read_json(path, ComputeTarget.from_json)

    def all(self) -> list[ComputeTarget]:
        paths = sorted(path for path in self._folder.glob("*.json") if not path.name.startswith("."))
        return [read_json(path, ComputeTarget.from_json) for path in paths]

    def detach(self, name: str) -> ComputeTarget:
        """Forgets a target; what runs there goes on. Raises NotFound: it is not attached."""
        target = self.get(name)
        (self._folder / f"{name}.json").unlink()
        return target


def _key(name: str) -> str:
    """`modelClaim` for `model_claim`."""
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))


def _problems(target: ComputeTarget) -> list[str]:
    problems = []
    if not NAME.fullmatch(target.name):
        problems.append("a name has 2 to 32 letters, digits and '-', and begins with a letter")
    if not target.image or any(character.isspace() for character in target.image):
        problems.append(f"image {target.image!r} is not the name of an image")
    if not is_label(target.namespace):
        problems.append(f"namespace {target.namespace!r} is not a DNS label")
    for what, text in _names(target):
        if text is not None and not is_subdomain(text):
            problems.append(
                f"{what} {text!r} is not a DNS name: expected lower-case letters, digits, '-' and '.', "
                "each part beginning and ending with a letter or digit"
            )
    if target.kubeconfig is not None and not target.kubeconfig.is_file():
        problems.append(f"kubeconfig {target.kubeconfig} does not exist")
    if (target.model_claim is None) == (target.model_url is None):
        problems.append(
            "give either --model-claim CLAIM or --model-url URL: where pods find a copy of the home directory's blobs/"
        )
    if target.model_url is not None and not _is_folder_url(target.model_url):
        problems.append(
            f"model URL {target.model_url!r} is not the address of a folder: expected https://HOST/PATH or "
            "http://HOST/PATH, without a user, a query or a fragment"
        )
    return problems


def _is_folder_url(text: str) -> bool:
    """Whether the path of a file can be put behind it, and be asked for."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    plain = text.isascii() and text.isprintable() and not any(sign in text for sign in " ?#")
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None


def _names(target: ComputeTarget) -> Iterator[tuple[str, str | None]]:
    """What Kubernetes refuses unless it is a DNS name; of a host the first part may be a wildcard."""
    yield "model claim", target.model_claim
    yield "ingress class", target.ingress_class
    yield "ingress host", None if target.ingress_host is None else target.ingress_host.removeprefix("*.")
    yield "TLS secret", target.tls_secret
    yield "pull secret", target.pull_secret

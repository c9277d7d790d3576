"""What a service is asked to be, and what it has become.

`ServiceSpec` is written by whoever deploys (command line or SDK) and read by the process that runs the service;
`ServiceState` goes the other way. Both are files in the service's folder, replaced in one step.
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from despina.deploy.deployment_config import DeploymentConfig, parse_deployment_config
from despina.errors import InvalidArgument

NAME = re.compile(r"[a-z]([-a-z0-9]{1,30}[a-z0-9])")
SERVED = ("Onnx", "Multi")
DELETED = "it was deleted meanwhile"


class Mode(enum.StrEnum):
    """How requests are answered."""

    DIRECT = "direct"
    """By the inference server; nobody's code in between."""
    MIDDLEWARE = "middleware"
    """By an entry script that asks the inference server beside it."""
    DEFAULT = "default"
    """By an entry script alone."""
    UNKNOWN = "unknown"
    """The service is damaged."""


class State(enum.StrEnum):
    """States of a service, in the words for one on this machine."""

    DEPLOYING = "deploying"
    RUNNING = "running"
    FAILED = "failed"
    DELETED = "deleted"
    UNKNOWN = "unknown"
    UNSCHEDULABLE = "unschedulable"
    """In a cluster: no node has room for it, as things are."""
    DAMAGED = "damaged"
    """Nobody knows what it should be: its file cannot be read. Processes of it may run."""

    @property
    def final(self) -> bool:
        return self not in (State.DEPLOYING, State.UNKNOWN, State.UNSCHEDULABLE)

    @property
    def cluster_word(self) -> str:
        """The word for it where services run in a cluster."""
        return {
            State.DEPLOYING: "Transitioning",
            State.RUNNING: "Healthy",
            State.FAILED: "Failed",
            State.DELETED: "Deleting",
            State.UNKNOWN: "Transitioning",
            State.UNSCHEDULABLE: "Unschedulable",
            State.DAMAGED: "Failed",
        }[self]


@dataclass(frozen=True, slots=True)
class ScriptSpec:
    """An entry script relative to the deployed copy of its source directory, and its variables."""

    entry_script: str
    variables: Mapping[str, str] = field(default_factory=dict)
    environment: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """`models` are ids `NAME:VERSION`; `generation` grows with each deployment under the same name."""

    name: str
    generation: int
    mode: Mode
    models: tuple[str, ...]
    deployment: DeploymentConfig
    script: ScriptSpec | None = None
    port: int = 0
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    created_time: str = ""
    updated_time: str = ""

    @classmethod
    def unreadable(cls, name: str) -> "ServiceSpec":
        """For a service of which no more is known than that it is there."""
        return cls(name, 0, Mode.UNKNOWN, (), DeploymentConfig())

    @property
    def base_path(self) -> str:
        """The prefix under which a cluster's front end publishes the service; accepted, and stripped, here too."""
        return f"/api/v1/service/{self.name}"

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "generation": self.generation,
            "mode": self.mode.value,
            "models": list(self.models),
            # Keys are in a file of their own, which nobody else can read and which is always current.
            "deployment": replace(self.deployment, primary_key=None, secondary_key=None).to_json(),
            "script": None if self.script is None else _script_to_json(self.script),
            # Read by earlier versions: in supervisors that they started, and in the images of pods.
            "host": "127.0.0.1",
            "port": self.port,
            "description": self.description,
            "tags": dict(self.tags),
            "properties": dict(self.properties),
            "createdTime": self.created_time,
            "updatedTime": self.updated_time,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "ServiceSpec":
        script = document["script"]
        return cls(
            name=document["name"],
            generation=document["generation"],
            mode=Mode(document["mode"]),
            models=tuple(document["models"]),
            deployment=parse_deployment_config(_without_keys(document["deployment"])).config,
            script=None
            if script is None
            else ScriptSpec(script["entryScript"], script["variables"], script["environment"]),
            port=document["port"],
            description=document["description"],
            tags=dict(document["tags"]),
            properties=dict(document["properties"]),
            created_time=document["createdTime"],
            updated_time=document["updatedTime"],
        )


@dataclass(frozen=True, slots=True)
class ServiceState:
    """`error` says why a service failed, with its last log lines in `log`. `generation` is the one that answers.

    `address` is the URL of a service in a cluster, without a slash at its end.
    """

    state: State
    generation: int = 0
    error: str | None = None
    log: tuple[str, ...] = ()
    server_url: str | None = None
    supervisor_pid: int | None = None
    address: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "state": self.state.value,
            "generation": self.generation,
            "error": self.error,
            "log": list(self.log),
            "serverUrl": self.server_url,
            "supervisorPid": self.supervisor_pid,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "ServiceState":
        return cls(
            State(document["state"]),
            document["generation"],
            document["error"],
            tuple(document["log"]),
            document["serverUrl"],
            document["supervisorPid"],
        )


def check_service_name(name: str) -> None:
    """Raises InvalidArgument: `name` is not a service name."""
    if not NAME.fullmatch(name):
        raise InvalidArgument(
            f"service name {name!r} is not allowed: expected 3 to 32 lower-case letters, digits and '-', "
            "beginning with a letter and not ending with '-'"
        )


def choose_mode(frameworks: list[str], *, scripted: bool) -> Mode:
    """Direct without a script, else middleware when a model is one the inference server serves, else default. Raises
    InvalidArgument: without a script it must be one model, of a framework that needs none."""
    if scripted:
        return Mode.MIDDLEWARE if any(one == "Multi" for one in frameworks) else Mode.DEFAULT
    if len(frameworks) != 1:
        raise InvalidArgument(
            f"{'no model' if not frameworks else 'several models'} without an entry script: give exactly one model, "
            "or an inference configuration (--ic)"
        )
    if frameworks[0] not in SERVED:
        raise InvalidArgument(
            f"framework {frameworks[0]} needs an entry script: give an inference configuration (--ic); "
            f"without one {' and '.join(SERVED)} can be served"
        )
    return Mode.DIRECT


def _without_keys(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Files of earlier versions hold the keys that were given once, whatever they are, also revoked ones."""
    return {key: value for key, value in document.items() if key != "keys"}


def _script_to_json(script: ScriptSpec) -> dict[str, Any]:
    return {
        "entryScript": script.entry_script,
        "variables": dict(script.variables),
        "environment": script.environment,
    }

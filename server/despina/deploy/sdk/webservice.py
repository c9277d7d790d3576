"""Services as notebooks see them."""

from __future__ import annotations

import builtins
import json
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Self, cast

from despina.deploy.deploy_request import DeployRequest
from despina.deploy.deployment_config import DeploymentConfig, check_deployment_config
from despina.deploy.label_change import LabelChange
from despina.deploy.places.place import Say, quiet
from despina.deploy.scoring import post_input
from despina.deploy.sdk.errors import UserErrorException, WebserviceException, translated
from despina.deploy.sdk.inference_config import InferenceConfig
from despina.deploy.sdk.model import Model, model_ids, print_line
from despina.deploy.sdk.workspace import Workspace
from despina.deploy.service import ServiceSpec, ServiceState, State
from despina.deploy.service_record import describe, uri_of_script


class Webservice:
    """A deployed service. Look one up with `Webservice(workspace, name)`, which is then of the class of its place."""

    word = "Webservice"

    def __new__(cls, workspace: Workspace, name: str) -> Self:
        if cls is not Webservice:
            return super().__new__(cls)
        with translated():
            spec, _ = workspace.services.get(name)
        return cast(Self, object.__new__(_kind(spec)))

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace = workspace
        self.name = name
        self._services = workspace.services
        self.update_deployment_state()

    @staticmethod
    def list(
        workspace: Workspace, model_name: str | None = None, model_id: str | None = None
    ) -> builtins.list[Webservice]:
        """All services, or those of one model."""
        with translated():
            found = [Webservice._of(workspace, spec, state) for spec, state in workspace.services.all()]
        return [
            service
            for service in found
            if model_id in (None, *service.models)
            and model_name in (None, *(one.partition(":")[0] for one in service.models))
        ]

    @classmethod
    def _of(cls, workspace: Workspace, spec: ServiceSpec, state: ServiceState) -> Webservice:
        made = object.__new__(_kind(spec))
        made.workspace, made.name, made._services = workspace, spec.name, workspace.services
        made._show(spec, state)
        return made

    def update_deployment_state(self) -> None:
        """Looks at the service again."""
        with translated():
            self._show(*self._services.get(self.name))

    def _show(self, spec: ServiceSpec, state: ServiceState) -> None:
        self._spec = spec
        shown = describe(spec, state, self.workspace.name)
        self.state: str = shown["state"]
        self.error: str | None = shown["error"]
        self.scoring_uri: str | None = shown["scoringUri"]
        self.swagger_uri: str | None = shown["swaggerUri"]
        self.port: int | None = shown["port"]
        self.models = builtins.list(spec.models)
        self.tags, self.properties, self.description = dict(spec.tags), dict(spec.properties), spec.description
        self.auth_enabled = spec.deployment.keyed
        self.compute_type: str = shown["computeType"]
        self._failed = state.state is State.FAILED
        self._log = state.log

    def wait_for_deployment(self, show_output: bool = False, timeout_sec: float | None = None) -> None:
        """Returns when the service answers. Raises WebserviceException: it failed; the message carries the last log
        lines. Or nothing is decided after `timeout_sec`; then it may still come."""
        say = print_line if show_output else quiet
        with translated():
            if timeout_sec is None:
                self._services.wait(self.name, say)
            else:
                self._wait_at_most(timeout_sec, say)
        self.update_deployment_state()
        if self._failed or self.error:
            lines = "\n".join(self._log)
            if show_output:
                print_line(lines)
            raise WebserviceException(f"deployment of service {self.name} failed: {self.error}\n{lines}")
        if show_output:
            print_line(f"{type(self).word} is running at {self.scoring_uri}")

    def _wait_at_most(self, seconds: float, say: Say) -> None:
        waiting: Future[ServiceState] = Future()

        def wait() -> None:
            try:
                waiting.set_result(self._services.wait(self.name, say))
            except BaseException as error:
                waiting.set_exception(error)

        # A thread that nobody waits for: what it waits for may never come.
        threading.Thread(target=wait, daemon=True).start()
        try:
            waiting.result(seconds)
        except TimeoutError:
            raise WebserviceException(f"service {self.name} is not ready after {seconds:g} s") from None

    def get_keys(self) -> tuple[str, str]:
        """The primary and the secondary key."""
        with translated():
            keys = self._services.keys(self.name)
        return keys.primary, keys.secondary

    def regen_key(self, key: str, set_key: str | None = None) -> None:
        """Replaces the `Primary` or the `Secondary` key."""
        with translated():
            self._services.regenerate_key(self.name, key, set_key)

    def get_logs(self, num_lines: int = 5000, init: bool = False, raw: bool = False) -> str:
        """The last lines of the log. It has what containers say while they are made ready, and is as it was written:
        `init` and `raw` change nothing."""
        with translated():
            return "\n".join(self._services.log(self.name, num_lines))

    def run(self, input_data: str | bytes) -> Any:
        """Posts to the scoring URI, as JSON, and returns the parsed answer. Raises WebserviceException: any answer but
        200; the service has no entry script, or no address yet."""
        with translated():
            uri = uri_of_script(self.name, self._spec.mode, self.scoring_uri)
            data = input_data.encode() if isinstance(input_data, str) else input_data
            key = self._services.keys(self.name).primary if self.auth_enabled else None
            answer = post_input(self.name, uri, data, key)
        return json.loads(answer)

    def update(
        self,
        models: Sequence[Model | str] | None = None,
        deployment_config: DeploymentConfig | None = None,
        inference_config: InferenceConfig | None = None,
        wait: bool = False,
        tags: dict[str, str] | None = None,
        description: str | None = None,
    ) -> None:
        """Redeploys with what is given, or changes tags and description only; with `wait`, returns when it answers."""
        if models is None and inference_config is None and deployment_config is None:
            with translated():
                gone = [] if tags is None else [key for key in self.tags if key not in tags]
                self._services.label(self.name, LabelChange(description, tags or {}, gone))
        else:
            with translated():
                kept = self._services.kept_script(self.name) if inference_config is None else None
            request = DeployRequest(
                self.name,
                model_ids(models) if models is not None else self._spec.models,
                deployment_config or self._spec.deployment,
                kept if inference_config is None else inference_config.spec(),
                overwrite=True,
                description=self.description if description is None else description,
                tags=self.tags if tags is None else tags,
                properties=self.properties,
            )
            with translated():
                self._services.deploy(request, print_line)
        if wait:
            self.wait_for_deployment()
        self.update_deployment_state()

    def delete(self, delete_cache: bool = True, delete_image: bool = False, delete_volume: bool = True) -> None:
        """Ends the service; its port and disk space are free when this returns. There are no images to keep."""
        with translated():
            self._services.delete(self.name, print_line)
        self.state = State.DELETED.value

    def serialize(self) -> dict[str, Any]:
        with translated():
            return describe(*self._services.get(self.name), self.workspace.name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, state={self.state!r}, scoring_uri={self.scoring_uri!r})"


class LocalWebservice(Webservice):
    """A service on this machine."""

    word = "Local webservice"

    @staticmethod
    def deploy_configuration(port: int | None = None, **more: Any) -> DeploymentConfig:
        """A free port where none is given. `more` are arguments of `AksWebservice.deploy_configuration`."""
        return _checked(DeploymentConfig("local", port=port, **more))

    def reload(self, wait: bool = False) -> None:
        """Starts the processes again."""
        with translated():
            self._services.restart(self.name)
        if wait:
            self.wait_for_deployment()


class KubernetesWebservice(Webservice):
    """A service in a cluster."""

    word = "Service"

    @staticmethod
    def deploy_configuration(
        autoscale_enabled: bool | None = None,
        autoscale_min_replicas: int | None = None,
        autoscale_max_replicas: int | None = None,
        autoscale_refresh_seconds: int | None = None,
        autoscale_target_utilization: int | None = None,
        collect_model_data: bool | None = None,
        auth_enabled: bool | None = None,
        cpu_cores: float | None = None,
        memory_gb: float | None = None,
        enable_app_insights: bool | None = None,
        scoring_timeout_ms: int | None = None,
        replica_max_concurrent_requests: int | None = None,
        max_request_wait_time: int | None = None,
        num_replicas: int | None = None,
        primary_key: str | None = None,
        secondary_key: str | None = None,
        tags: dict[str, str] | None = None,
        properties: dict[str, str] | None = None,
        description: str | None = None,
        gpu_cores: int | None = None,
        period_seconds: int | None = None,
        initial_delay_seconds: int | None = None,
        timeout_seconds: int | None = None,
        success_threshold: int | None = None,
        failure_threshold: int | None = None,
        namespace: str | None = None,
        token_auth_enabled: bool | None = None,
        compute_target_name: str | None = None,
        cpu_cores_limit: float | None = None,
        memory_gb_limit: float | None = None,
    ) -> DeploymentConfig:
        """The fields of a deploymentconfig.json of type aks. Tags, properties and description are not kept."""
        given = {name: value for name, value in locals().items() if name not in ("tags", "properties", "description")}
        return _checked(DeploymentConfig("aks", **given))


AksWebservice = KubernetesWebservice


def _kind(spec: ServiceSpec) -> type[Webservice]:
    return KubernetesWebservice if spec.deployment.compute_type == "aks" else LocalWebservice


def _checked(config: DeploymentConfig) -> DeploymentConfig:
    if problems := check_deployment_config(config):
        raise UserErrorException("; ".join(problems))
    return config

"""Deployment as notebooks ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from despina.deploy.deploy_request import DeployRequest
from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.sdk.errors import translated
from despina.deploy.sdk.inference_config import InferenceConfig
from despina.deploy.sdk.model import Model, model_ids, print_line
from despina.deploy.sdk.webservice import Webservice
from despina.deploy.sdk.workspace import Workspace
from despina.deploy.services import Services


def deploy(
    workspace: Workspace,
    name: str,
    models: Sequence[Model | str],
    inference_config: InferenceConfig | None,
    deployment_config: DeploymentConfig | None,
    deployment_target: Any,
    overwrite: bool,
    show_output: bool,
) -> Webservice:
    """What `Model.deploy` does."""
    config = deployment_config or DeploymentConfig()
    if deployment_target is not None:
        config = replace(config, compute_target_name=str(getattr(deployment_target, "name", deployment_target)))
    inference = None if inference_config is None else inference_config.spec()
    said = "" if inference_config is None else inference_config.description or ""
    for warning in () if inference is None else inference.warnings:
        print_line(f"warning: {warning}")
    with translated():
        request = DeployRequest(name, model_ids(models), config, inference, overwrite=overwrite, description=said)
        Services(workspace.home, workspace.registry).deploy(request, print_line)
    service = Webservice(workspace, name)
    if show_output:
        service.wait_for_deployment(show_output=True)
    return service

"""The Python way to do what `despina model` and `despina service` do.

Names and argument order are those of the cloud SDK, so that a notebook changes its import lines only:

    from despina.deploy.sdk import Workspace, Model, Environment, InferenceConfig, LocalWebservice
"""

from despina.deploy.sdk.environment import CondaDependencies, Environment
from despina.deploy.sdk.errors import ModelNotFoundException, UserErrorException, WebserviceException
from despina.deploy.sdk.inference_config import InferenceConfig
from despina.deploy.sdk.model import Model, ResourceConfiguration
from despina.deploy.sdk.webservice import AksWebservice, KubernetesWebservice, LocalWebservice, Webservice
from despina.deploy.sdk.workspace import Workspace

__all__ = [
    "AksWebservice",
    "CondaDependencies",
    "Environment",
    "InferenceConfig",
    "KubernetesWebservice",
    "LocalWebservice",
    "Model",
    "ModelNotFoundException",
    "ResourceConfiguration",
    "UserErrorException",
    "Webservice",
    "WebserviceException",
    "Workspace",
]

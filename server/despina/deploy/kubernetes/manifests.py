"""All manifests of a service."""

from despina.deploy.kubernetes.configuration import config_map, keys_secret
from despina.deploy.kubernetes.deployment import deployment, disruption_budget
from despina.deploy.kubernetes.network import ingress, service
from despina.deploy.kubernetes.scaling import autoscaler
from despina.deploy.kubernetes.workload import Document, Workload


def manifests(load: Workload) -> list[Document]:
    """In the order of applying: what pods need comes before them. Raises InvalidArgument: the script and the list of
    model files are too large for a ConfigMap."""
    documents = [
        config_map(load),
        None if load.keys is None else keys_secret(load.name, load.namespace, load.keys),
        service(load),
        deployment(load),
        disruption_budget(load),
        autoscaler(load),
        ingress(load),
    ]
    return [document for document in documents if document is not None]

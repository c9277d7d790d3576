"""What pods read: the ConfigMap of a generation, and the Secret with the keys."""

from base64 import b64encode

from despina.deploy.gate.keys import Keys
from despina.deploy.kubernetes.pod.places import SERVICE_FILE, SOURCE_FILE
from despina.deploy.kubernetes.workload import GENERATION_LABEL, Document, Workload, keys_name, labels_of
from despina.errors import InvalidArgument

LARGEST_BYTES = 1 << 20


def config_map(load: Workload) -> Document:
    """Service, models, and the script's folder. Raises InvalidArgument: together they are more than a ConfigMap can
    hold."""
    text = load.contents.to_text()
    size = len(text.encode()) + len(load.source or b"")
    if size > LARGEST_BYTES:
        raise InvalidArgument(
            f"service {load.name}: its script and the list of its models' files are {size} bytes, "
            f"and a cluster takes {LARGEST_BYTES}"
        )
    metadata = load.metadata(load.config_name)
    metadata["labels"] = {**metadata["labels"], GENERATION_LABEL: str(load.spec.generation)}
    packed = {} if load.source is None else {"binaryData": {SOURCE_FILE: b64encode(load.source).decode()}}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "immutable": True,
        "data": {SERVICE_FILE: text},
        **packed,
    }


def keys_secret(name: str, namespace: str, keys: Keys) -> Document:
    """Pods see a new one within a minute, without a restart."""
    encoded = {key: b64encode(value.encode()).decode() for key, value in keys.to_json().items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": keys_name(name), "namespace": namespace, "labels": labels_of(name)},
        "type": "Opaque",
        "data": encoded,
    }

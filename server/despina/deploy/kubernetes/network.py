"""The way in: a Service, and an Ingress or a load balancer in front of it."""

from despina.deploy.kubernetes.pod.gate import gate_limits
from despina.deploy.kubernetes.pod.places import GATE_PORT
from despina.deploy.kubernetes.target import Exposure
from despina.deploy.kubernetes.workload import Document, Workload

PORT = 80


def service(load: Workload) -> Document:
    """Leads to the gate alone."""
    balanced = load.target.expose is Exposure.LOAD_BALANCER
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": load.metadata(),
        "spec": {
            "type": "LoadBalancer" if balanced else "ClusterIP",
            "selector": load.selector,
            "ports": [{"name": "http", "port": PORT, "targetPort": GATE_PORT, "appProtocol": "http"}],
        },
    }


def ingress(load: Workload) -> Document | None:
    """`/api/v1/service/NAME/`; the gate strips the prefix, so no controller needs to be told how. None without one."""
    target = load.target
    if target.expose is not Exposure.INGRESS:
        return None
    backend = {"service": {"name": load.name, "port": {"name": "http"}}}
    rule: Document = {"http": {"paths": [{"path": load.spec.base_path, "pathType": "Prefix", "backend": backend}]}}
    if target.ingress_host is not None:
        rule["host"] = target.ingress_host
    spec: Document = {"rules": [rule]}
    if target.ingress_class is not None:
        spec["ingressClassName"] = target.ingress_class
    if target.tls_secret is not None:
        hosts = {} if target.ingress_host is None else {"hosts": [target.ingress_host]}
        spec["tls"] = [{"secretName": target.tls_secret, **hosts}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": load.metadata(annotations=_annotations(load)),
        "spec": spec,
    }


def _annotations(load: Workload) -> dict[str, str]:
    # ingress-nginx refuses bodies over 1 MB, stores them first, and waits 60 s; the gate has its own limits.
    limits = gate_limits(load.spec)
    seconds = str(round((limits.answer_seconds or 60) + limits.queue_seconds) + 5)
    nginx = "nginx.ingress.kubernetes.io"
    return {
        f"{nginx}/proxy-body-size": "0",
        f"{nginx}/proxy-request-buffering": "off",
        f"{nginx}/proxy-read-timeout": seconds,
        f"{nginx}/proxy-send-timeout": seconds,
    }

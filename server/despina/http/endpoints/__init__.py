"""The endpoints by family. Order matters where paths overlap: the first match wins (protocol §0.6)."""

from despina.http.endpoint import Endpoint
from despina.http.endpoints import (
    docs,
    generate,
    health,
    infer,
    kserve_v1,
    logging,
    metadata,
    repository,
    shared_memory,
    statistics,
    trace,
)
from despina.http.metrics import ON_HTTP
from despina.settings import Settings

ALL = (
    *statistics.ENDPOINTS,
    *logging.ENDPOINTS,
    *trace.ENDPOINTS,
    *infer.ENDPOINTS,
    *generate.ENDPOINTS,
    *health.ENDPOINTS,
    *metadata.ENDPOINTS,
    *repository.ENDPOINTS,
    *shared_memory.ENDPOINTS,
    *kserve_v1.ENDPOINTS,
)


def endpoints(settings: Settings) -> tuple[Endpoint, ...]:
    """What a server with these settings answers."""
    answered = ALL
    if settings.kserve:
        answered = (*answered, *metadata.KSERVE_ENDPOINTS)
    if settings.metrics_on_http:
        answered = (*answered, ON_HTTP)
    return (*answered, *docs.describing(answered))

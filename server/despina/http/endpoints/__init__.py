"""The endpoints by family. Order matters where paths overlap: the first match wins (protocol §0.6)."""

from despina.http.endpoints import (
    generate,
    health,
    infer,
    logging,
    metadata,
    repository,
    shared_memory,
    statistics,
    trace,
)

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
)

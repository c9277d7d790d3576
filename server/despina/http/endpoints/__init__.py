"""The endpoints by family. Order matters where paths overlap: the first match wins (protocol §0.6)."""

from despina.http.endpoints import health, infer, metadata, repository, statistics

ALL = (
    *statistics.ENDPOINTS,
    *infer.ENDPOINTS,
    *health.ENDPOINTS,
    *metadata.ENDPOINTS,
    *repository.ENDPOINTS,
)

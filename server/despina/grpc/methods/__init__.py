"""The methods with one request and one answer, by family; inference has modules of its own."""

from despina.grpc.method import Method
from despina.grpc.methods import health, logging, metadata, repository, shared_memory, statistics, trace

METHODS: tuple[Method, ...] = (
    *health.METHODS,
    *metadata.METHODS,
    *statistics.METHODS,
    *repository.METHODS,
    *shared_memory.METHODS,
    *trace.METHODS,
    *logging.METHODS,
)

"""What the command line asked for: one frozen object, made once, read everywhere.

One field per tritonserver flag that has a meaning here (config §8), its name with underscores and tritonserver's newest
default, and then Despina's own. `despina.cli` fills and checks it; nothing here computes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

MINIMUM_COMPUTE_CAPABILITY = 6.0


@dataclass(frozen=True, slots=True)
class RateLimitResource:
    """`--rate-limit-resource=name:count[:device]`; device None stands for every device."""

    name: str
    count: int
    device: int | None = None


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """`--metrics-config=key=value`. A quantile is a pair of quantile, in [0, 1], and allowed error."""

    counter_latencies: bool = True
    histogram_latencies: bool = False
    summary_latencies: bool = False
    summary_quantiles: tuple[tuple[float, float], ...] = (
        (0.5, 0.05),
        (0.9, 0.01),
        (0.95, 0.001),
        (0.99, 0.001),
        (0.999, 0.001),
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a server is started with."""

    id: str = "triton"
    exit_timeout_secs: int = 30

    log_verbose: int = 0
    log_info: bool = True
    log_warning: bool = True
    log_error: bool = True
    log_format: Literal["default", "ISO8601"] = "default"
    log_file: str = ""

    model_repository: tuple[Path, ...] = ()
    exit_on_error: bool = True
    strict_model_config: bool = False
    """Auto-completion of configurations is off (`--disable-auto-complete-config`)."""
    strict_readiness: bool = True
    model_control_mode: Literal["none", "poll", "explicit"] = "none"
    repository_poll_secs: int = 0
    """Seconds between two looks at the repository; 0 unless the mode is "poll", where the flag's default is 15."""
    load_model: tuple[str, ...] = ()
    model_config_name: str = ""
    model_load_thread_count: int = 4
    model_load_retry_count: int = 0

    allow_http: bool = True
    http_address: str = "0.0.0.0"
    http_port: int = 8000
    reuse_http_port: bool = False
    http_header_forward_pattern: str = ""
    http_max_input_size: int = 64 * 1024 * 1024
    """Bytes of one request body, before and after decompression."""
    http_restricted_api: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """API category → the header a request must carry, and its value."""
    allow_client_shm: bool = False

    allow_grpc: bool = True
    grpc_required: bool = False
    """gRPC was asked for: by `--allow-grpc=true`, a port or an address. Otherwise a server whose port for gRPC is taken
    goes on without."""
    grpc_address: str = "0.0.0.0"
    """As `http_address` unless the flag was given."""
    grpc_port: int = 8001
    reuse_grpc_port: bool = False
    grpc_header_forward_pattern: str = ""
    grpc_use_ssl: bool = False
    """Whether connections are encrypted; `grpc_server_cert` and `grpc_server_key` are there then. So they are with
    `grpc_use_ssl_mutual`."""
    grpc_use_ssl_mutual: bool = False
    """Whether clients must show a certificate signed by one of `grpc_root_cert`, which is there then."""
    grpc_server_cert: Path | None = None
    """Certificate chain, PEM."""
    grpc_server_key: Path | None = None
    """Key of the certificate, PEM."""
    grpc_root_cert: Path | None = None
    """Certificates that those of clients are checked against, PEM."""
    grpc_infer_response_compression_level: Literal["none", "low", "medium", "high"] = "none"
    """How much the messages of answers to inference are compressed, for clients that can read that."""
    grpc_max_connection_age: int = 0
    """Milliseconds after which a client is asked to open another connection; 0: never."""
    grpc_max_connection_age_grace: int = 0
    """Milliseconds that calls under way have from then on, before the connection is closed; 0: as many as they need."""
    grpc_restricted_protocol: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Category of methods → the metadata that a call must carry, `triton-grpc-protocol-` included, and its value."""

    allow_metrics: bool = True
    allow_gpu_metrics: bool = True
    allow_cpu_metrics: bool = True
    metrics_address: str = "0.0.0.0"
    """As `http_address` unless the flag was given."""
    metrics_port: int = 8002
    metrics_interval_ms: float = 2000.0
    metrics_config: MetricsConfig = MetricsConfig()

    trace_config: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    """Mode ("" = every mode) → setting → its values in the order given, as text. Only what was given is here; the
    defaults are rate 1000, level OFF, count -1, mode triton, log-frequency 0."""

    backend_config: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Backend ("" = every backend) → setting → value."""
    cache_config: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Cache → setting → value: {"local": {"size": "1048576"}}. Empty: no cache. Never more than one cache."""

    rate_limit: Literal["off", "execution_count"] = "off"
    rate_limit_resource: tuple[RateLimitResource, ...] = ()

    pinned_memory_pool_byte_size: int = 256 * 1024 * 1024
    min_supported_compute_capability: float = MINIMUM_COMPUTE_CAPABILITY
    """GPUs below it are not used."""

    http_workers: int = 1
    """Processes that accept HTTP."""
    http_max_arriving_bytes: int | None = None
    """Bytes of large request bodies that may be arriving at the same time; further ones wait. 0: no limit. None: a
    quarter of the memory."""
    http_tls_cert: Path | None = None
    http_tls_key: Path | None = None
    http_tls_client_ca: Path | None = None
    """Given: clients must show a certificate signed by one of these."""
    api_key: tuple[str, ...] = ()
    """Given: requests must carry one of them."""
    response_compression: bool = True
    """Whether an Accept-Encoding of the client is honoured."""
    model_name: str | None = None
    """Name for a repository that is a bare model file; None: taken from the path."""
    kserve: bool = False
    """Answer what KServe and the Open Inference Protocol ask for where tritonserver answers 404. On by itself when a
    repository is a bare model."""
    max_queue_rows: int = 65_536
    """Rows that may wait per model before a request is answered 503; 0: no limit."""
    max_queue_bytes: int = 1024 * 1024 * 1024
    """Bytes of input tensors that may wait per model before a request is answered 503; 0: no limit."""
    instance_processes: int | None = None
    """Processes that may run instances of short, busy models beside the server's own. None: cores less one, and less
    those of HTTP where there are several."""
    metrics_on_http: bool = False
    """`/metrics` is answered on the HTTP port too."""

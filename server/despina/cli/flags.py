"""Every flag of `despina serve`: tritonserver's in its own order, then Despina's (config §8).

A flag whose name with underscores is a field of `Settings` sets it; `settings_from_flags` folds the others in. Those of
gRPC are in `grpc_flags`, those of tritonserver that mean nothing here in `foreign_flags`.
"""

from functools import partial
from pathlib import Path

from despina.cli import values as v
from despina.cli.flag import Flag
from despina.cli.foreign_flags import FOREIGN_FLAGS
from despina.cli.grpc_flags import GRPC_FLAGS
from despina.settings import Settings

_SERVER = (
    Flag("help", "", "", str, "Print this and exit."),
    Flag("id", "Server", "<string>", str, "Name of this server, shown in its metadata."),
    Flag(
        "exit-timeout-secs", "Server", "<integer>", v.natural, "Seconds requests in flight have to finish at shutdown."
    ),
)

_LOGGING = (
    Flag("log-verbose", "Logging", "<integer>", v.verbosity, "Verbose level; 0 is off."),
    Flag("log-info", "Logging", "<boolean>", v.boolean, "Log information."),
    Flag("log-warning", "Logging", "<boolean>", v.boolean, "Log warnings."),
    Flag("log-error", "Logging", "<boolean>", v.boolean, "Log errors."),
    Flag("log-format", "Logging", "<string>", v.log_format, "default (LMMDD hh:mm:ss.ssssss) or ISO8601."),
    Flag("log-file", "Logging", "<string>", str, "File to log to, which may be rotated. Else stdout and stderr."),
)

_REPOSITORY = "Model Repository"
_MODEL_REPOSITORY = (
    Flag("model-store", _REPOSITORY, "<string>", v.repository, "The same as --model-repository.", repeats=True),
    Flag(
        "model-repository",
        _REPOSITORY,
        "<string>",
        v.repository,
        "A directory of models, or a model file; repeatable.",
        repeats=True,
    ),
    Flag("exit-on-error", _REPOSITORY, "<boolean>", v.boolean, "Exit when a model fails to load at start-up."),
    Flag("disable-auto-complete-config", _REPOSITORY, "", str, "Take config.pbtxt as it is; complete nothing."),
    Flag("strict-readiness", _REPOSITORY, "<boolean>", v.boolean, "Ready only when every model is."),
    Flag("model-control-mode", _REPOSITORY, "<string>", v.control_mode, "none, poll or explicit."),
    Flag("repository-poll-secs", _REPOSITORY, "<integer>", v.natural, "Seconds between two polls; poll only.", 15),
    Flag("load-model", _REPOSITORY, "<string>", str, "Model to load at start-up, * for all; repeatable.", repeats=True),
    Flag(
        "model-config-name",
        _REPOSITORY,
        "<string>",
        v.config_name,
        "Use configs/<name>.pbtxt of each model that has it.",
    ),
    Flag("model-load-thread-count", _REPOSITORY, "<integer>", v.positive, "Models loaded at the same time."),
    Flag("model-load-retry-count", _REPOSITORY, "<integer>", v.natural, "Times a failed load is tried again."),
)

_HTTP = (
    Flag("allow-http", "HTTP", "<boolean>", v.boolean, "Serve HTTP."),
    Flag("http-address", "HTTP", "<string>", v.address, "Address HTTP listens at."),
    Flag("http-port", "HTTP", "<integer>", v.port, "Port HTTP listens at; 0 takes a free one."),
    Flag("reuse-http-port", "HTTP", "<boolean>", v.boolean, "Share the port with other servers (SO_REUSEPORT)."),
    Flag("http-header-forward-pattern", "HTTP", "<string>", v.pattern, "Headers to forward as request parameters."),
    Flag("http-max-input-size", "HTTP", "<integer>", v.integer, "Bytes of the largest JSON body or decompressed body."),
    Flag(
        "http-restricted-api",
        "HTTP",
        "<<string>:<string>=<string>>",
        partial(v.restriction, "api"),
        "Demand a header for some APIs: <api>[,<api>]:<header>=<value>; repeatable.",
        repeats=True,
    ),
    Flag("allow-client-shm", "HTTP", "<boolean>", v.boolean, "Let clients register shared memory."),
)

_METRICS = (
    Flag("allow-metrics", "Metrics", "<boolean>", v.boolean, "Serve Prometheus metrics."),
    Flag("allow-gpu-metrics", "Metrics", "<boolean>", v.boolean, "Report GPU metrics."),
    Flag("allow-cpu-metrics", "Metrics", "<boolean>", v.boolean, "Report CPU metrics."),
    Flag("metrics-address", "Metrics", "<string>", v.address, "Address metrics listen at.", "as http-address"),
    Flag("metrics-port", "Metrics", "<integer>", v.port, "Port metrics listen at; 0 takes a free one."),
    Flag("metrics-interval-ms", "Metrics", "<float>", v.number, "Milliseconds between two looks at the devices."),
    Flag(
        "metrics-config",
        "Metrics",
        "<<string>=<string>>",
        partial(v.setting, "metrics-config"),
        "counter_latencies, histogram_latencies, summary_latencies, summary_quantiles.",
        repeats=True,
    ),
)

_SCOPED = "<<string>,<string>=<string>>"
_REST = (
    Flag(
        "trace-config",
        "Tracing",
        _SCOPED,
        partial(v.scoped_setting, "trace-config"),
        "[<mode>,]<setting>=<value>: rate, level, count, mode, file, log-frequency; repeatable.",
        repeats=True,
    ),
    Flag(
        "backend-config",
        "Backend",
        _SCOPED,
        partial(v.scoped_setting, "backend-config"),
        "[<backend>,]<setting>=<value>; repeatable.",
        repeats=True,
    ),
    Flag(
        "cache-config",
        "Response Cache",
        _SCOPED,
        partial(v.scoped_setting, "cache-config", scope_needed=True),
        "local,size=<bytes>: cache responses in that much memory.",
        repeats=True,
    ),
    Flag("rate-limit", "Rate Limiter", "<string>", v.rate_limit, "off or execution_count."),
    Flag(
        "rate-limit-resource",
        "Rate Limiter",
        "<<string>:<integer>:<integer>>",
        v.resource,
        "How much there is of a resource: <name>:<count>[:<device>]; repeatable.",
        repeats=True,
    ),
    Flag(
        "pinned-memory-pool-byte-size",
        "Memory",
        "<integer>",
        v.natural,
        "",
        Settings().pinned_memory_pool_byte_size,
        inert="page-locked buffers are as large as the batches; only nv_pinned_memory_pool_total_bytes shows it",
    ),
    Flag("min-supported-compute-capability", "Memory", "<float>", v.number, "GPUs below it are not used."),
)

_DEPRECATED = tuple(
    Flag(name, "DEPRECATED", metavar, parse, f"Use {instead}.", repeats=name == "trace-level")
    for name, metavar, parse, instead in (
        ("strict-model-config", "<boolean>", v.boolean, "--disable-auto-complete-config"),
        ("response-cache-byte-size", "<integer>", v.natural, "--cache-config=local,size=<bytes>"),
        ("trace-file", "<string>", str, "--trace-config=triton,file=<path>"),
        ("trace-level", "<string>", str, "--trace-config=level=<level>"),
        ("trace-rate", "<integer>", v.natural, "--trace-config=rate=<n>"),
        ("trace-count", "<integer>", v.integer, "--trace-config=count=<n>"),
        ("trace-log-frequency", "<integer>", v.natural, "--trace-config=triton,log-frequency=<n>"),
    )
)

_OWN = (
    Flag("model-name", "Despina", "<string>", str, "Name of a model given as a bare file."),
    Flag("http-workers", "Despina", "<integer>", v.positive, "Processes that accept HTTP."),
    Flag(
        "http-max-arriving-bytes",
        "Despina",
        "<integer>",
        v.natural,
        "Bytes of large request bodies that may be arriving at once, further ones wait; 0: any.",
        "a quarter of the memory",
    ),
    Flag("http-tls-cert", "Despina", "<string>", Path, "Certificate chain (PEM); HTTP becomes HTTPS."),
    Flag("http-tls-key", "Despina", "<string>", Path, "Key of the certificate (PEM)."),
    Flag("http-tls-client-ca", "Despina", "<string>", Path, "Clients must show a certificate signed by it."),
    Flag(
        "api-key",
        "Despina",
        "<string>",
        v.api_key,
        "Key a request must carry, unless it is for health or metrics; repeatable.",
        repeats=True,
    ),
    Flag(
        "api-key-file",
        "Despina",
        "<string>",
        v.api_keys,
        "File with such keys, one a line, which no list of processes shows; read at start, repeatable.",
        repeats=True,
    ),
    Flag("response-compression", "Despina", "<boolean>", v.boolean, "Compress responses when asked to."),
    Flag("kserve", "Despina", "<boolean>", v.boolean, "Answer KServe's paths beyond tritonserver's."),
    Flag("max-queue-rows", "Despina", "<integer>", v.natural, "Rows that may wait per model; 0: any."),
    Flag("max-queue-bytes", "Despina", "<integer>", v.natural, "Bytes that may wait per model; 0: any."),
    Flag(
        "instance-processes",
        "Despina",
        "<integer>",
        v.natural,
        "Processes of their own that instances of short, busy models may get; 0: none.",
        "cores less one, less --http-workers if more than one",
    ),
    Flag("metrics-on-http", "Despina", "<boolean>", v.boolean, "Answer /metrics on the HTTP port too."),
)

FLAGS = (
    *_SERVER,
    *_LOGGING,
    *_MODEL_REPOSITORY,
    *_HTTP,
    *GRPC_FLAGS,
    *_METRICS,
    *_REST,
    *_DEPRECATED,
    *_OWN,
    *FOREIGN_FLAGS,
)

"""tritonserver's flags that mean nothing here, each with its reason.

Refused are those whose value asks for something that will not happen. The rest is accepted with a warning, so that a
command line written for tritonserver still starts: they tune what is done differently here, or a service that is not
offered.
"""

from despina.cli import values as v
from despina.cli.flag import Flag

_NO_SAGEMAKER = "the SageMaker endpoints are not served"
_NO_VERTEX = "the Vertex AI endpoints are not served"

_CLOUD = (
    Flag("allow-sagemaker", "Sagemaker", "<boolean>", v.boolean, refused=_NO_SAGEMAKER),
    Flag("sagemaker-port", "Sagemaker", "<integer>", v.integer, default=8080, inert=_NO_SAGEMAKER),
    Flag("sagemaker-safe-port-range", "Sagemaker", "<<integer>-<integer>>", str, inert=_NO_SAGEMAKER),
    Flag("sagemaker-thread-count", "Sagemaker", "<integer>", v.integer, default=8, inert=_NO_SAGEMAKER),
    Flag("allow-vertex-ai", "Vertex", "<boolean>", v.boolean, refused=_NO_VERTEX),
    Flag("vertex-ai-port", "Vertex", "<integer>", v.integer, default=8080, inert=_NO_VERTEX),
    Flag("vertex-ai-thread-count", "Vertex", "<integer>", v.integer, default=8, inert=_NO_VERTEX),
    Flag("vertex-ai-default-model", "Vertex", "<string>", str, inert=_NO_VERTEX),
)

_ORT_MEMORY = "ONNX Runtime's own allocator holds the device memory"
_OTHER = (
    Flag(
        "model-namespacing",
        "Model Repository",
        "<boolean>",
        v.boolean,
        refused="model names are unique across all repositories",
    ),
    Flag(
        "enable-peer-access",
        "Model Repository",
        "<boolean>",
        v.boolean,
        default=True,
        inert="tensors are not moved between GPUs",
    ),
    Flag(
        "http-thread-count",
        "HTTP",
        "<integer>",
        v.integer,
        default=8,
        inert="one event loop reads all connections of a process; --http-workers adds processes",
    ),
    Flag("backend-directory", "Backend", "<string>", str, inert="backends are Python packages"),
    Flag("repoagent-directory", "Repository Agent", "<string>", str, inert="repository agents are not run"),
    Flag("cache-directory", "Response Cache", "<string>", str, inert="the local cache is built in"),
    Flag("cuda-memory-pool-byte-size", "Memory", "<<integer>:<integer>>", str, inert=_ORT_MEMORY),
    Flag("cuda-virtual-address-size", "Memory", "<<integer>:<integer>>", str, inert=_ORT_MEMORY),
    Flag(
        "buffer-manager-thread-count",
        "Memory",
        "<integer>",
        v.integer,
        default=0,
        inert="each instance gathers its own batches",
    ),
    Flag("host-policy", "Memory", "<<string>,<string>=<string>>", str, inert="threads are placed by the system"),
    Flag(
        "model-load-gpu-limit",
        "Memory",
        "<<device_id>:<fraction>>",
        str,
        refused="GPU memory is not limited per server; limit it per model with gpu_mem_limit",
    ),
)

FOREIGN_FLAGS = (*_CLOUD, *_OTHER)

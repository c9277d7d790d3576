import subprocess
import sys

import pytest

SCRIPTS = {
    "despina imports neither grpc nor tritonclient.grpc": """
import despina.config.proto
assert "grpc" not in sys.modules and "tritonclient.grpc" not in sys.modules
""",
    "ours first, then tritonclient.grpc": """
from despina.config.proto import ModelConfig
import tritonclient.grpc
from tritonclient.grpc import model_config_pb2, service_pb2
assert model_config_pb2.ModelConfig is ModelConfig
service_pb2.ModelConfigResponse(config=ModelConfig(name="m"))
""",
    "tritonclient.grpc first, then ours": """
import tritonclient.grpc
from tritonclient.grpc import model_config_pb2
from despina.config.proto import ModelConfig
assert model_config_pb2.ModelConfig is ModelConfig
""",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_message_class_is_shared_with_tritonclient_and_needs_no_grpc(name: str) -> None:
    script = SCRIPTS[name]
    if "import tritonclient.grpc" in script:
        pytest.importorskip("grpc")
    finished = subprocess.run(
        [sys.executable, "-c", "import sys\n" + script], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr

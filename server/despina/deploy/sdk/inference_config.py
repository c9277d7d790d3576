"""How a service calls an entry script."""

from collections.abc import Iterator
from pathlib import Path

from despina.deploy.entry_script import InferenceSpec, check_inference
from despina.deploy.sdk.environment import Environment
from despina.deploy.sdk.errors import translated


class InferenceConfig:
    """An entry script in a source directory, and its environment."""

    def __init__(
        self,
        entry_script: str,
        source_directory: str | None = None,
        environment: Environment | None = None,
        description: str | None = None,
    ) -> None:
        self.entry_script = entry_script
        self.source_directory = source_directory
        self.environment = environment
        self.description = description

    def spec(self) -> InferenceSpec:
        """Raises UserErrorException: the script cannot be one."""
        source = Path(self.source_directory or ".").resolve()
        with translated():
            environment = None if self.environment is None else self.environment.spec()
            return check_inference(InferenceSpec(self.entry_script, source, environment, tuple(self._ignored())))

    def _ignored(self) -> Iterator[str]:
        if self.environment is not None and self.environment.docker.ignored:
            yield f"docker of environment {self.environment.name} is ignored: scripts run in this installation's Python"

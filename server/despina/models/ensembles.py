"""Whether an ensemble can be served: its steps are there, fit it, and do not lead back to it (config §4.3, §6.2)."""

from collections.abc import Callable, Mapping

from despina.config.proto import ModelConfig
from despina.errors import InvalidArgument
from despina.models.candidate import Candidate
from despina.models.dependencies import Steps, find_cycle
from despina.models.failures import NotInRepository, NotLoaded

ConfigOf = Callable[[str, int | None], ModelConfig]
"""Name and version (None: the latest) → configuration of the READY model. Raises NotFound, Unavailable."""

CheckEnsemble = Callable[[ModelConfig, ConfigOf], None]
"""Whether an ensemble fits the models of its steps. Raises InvalidArgument with the reason."""


def refuse_cycles(name: str, steps: Steps) -> None:
    """Raises InvalidArgument when running `name` would run `name`."""
    cycle = find_cycle(name, steps)
    if cycle:
        raise InvalidArgument(f"circular dependency between ensembles: {cycle[0]} -> ... -> {cycle[-2]} -> {cycle[0]}")


def refuse_missing_steps(candidate: Candidate, failures: Mapping[str, Exception]) -> None:
    """`failures` are the steps without any READY version. Raises InvalidArgument when there is one."""
    missing = [name for name, error in failures.items() if isinstance(error, NotInRepository)]
    if missing:
        raise InvalidArgument(
            f"ensemble {candidate.name} contains models that are not available or ambiguous: {', '.join(missing)}"
        )
    for name, error in failures.items():
        if isinstance(error, NotLoaded) and not error.fits:
            what = f"is not valid. Model '{name}' failed"
        else:
            what = f"has no loaded version. Model '{name}' loading failed"
        why = error.why if isinstance(error, NotLoaded) else str(error)
        raise InvalidArgument(f"ensemble '{candidate.name}' depends on '{name}' which {what} with error: {why}")

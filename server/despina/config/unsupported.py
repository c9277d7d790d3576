"""What a configuration may ask for that Despina does not do: refused at load, rather than ignored (config §2.1)."""

from despina.config.proto import ModelConfig
from despina.errors import Unsupported

RUNTIME = "libtriton_onnxruntime.so"
BATCHING_LIBRARY = "TRITON_BATCH_STRATEGY_PATH"
"""A parameter of tritonserver itself: a library that says which requests share a batch."""


def reject_unsupported(config: ModelConfig) -> None:
    """Raises Unsupported, naming the model and what to change."""
    for asked, what in (
        (config.runtime not in ("", RUNTIME), f"runtime '{config.runtime}' (leave it empty)"),
        (config.model_transaction_policy.decoupled, "a decoupled transaction policy (set decoupled to false)"),
        (config.model_repository_agents.agents, "model_repository_agents (remove them)"),
        (any(group.secondary_devices for group in config.instance_group), "secondary_devices (remove them)"),
        (_runs_nothing(config), "nothing but passive instances (leave one group that is not)"),
        (config.sequence_batching.iterative_sequence, "iterative_sequence (remove it)"),
        (BATCHING_LIBRARY in config.parameters, f"a batching library (remove the parameter {BATCHING_LIBRARY})"),
    ):
        if asked:
            raise Unsupported(f"model '{config.name}' asks for {what}, which this server does not support")


def _runs_nothing(config: ModelConfig) -> bool:
    return bool(config.instance_group) and all(group.passive for group in config.instance_group)

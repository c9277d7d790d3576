"""Whether a changed configuration can be applied to a model that is being served (config §4.3)."""

from despina.config.proto import ModelConfig, copy_of

IN_PLACE = ("instance_group", "version_policy")
"""Fields that say where and which versions are served, but not how a version behaves."""


def can_update_in_place(old: ModelConfig, new: ModelConfig) -> bool:
    """Whether the two differ in nothing but instance groups and version policy."""
    return _behaviour(old) == _behaviour(new)


def _behaviour(config: ModelConfig) -> ModelConfig:
    rest = copy_of(config)
    for field in IN_PLACE:
        rest.ClearField(field)
    return rest

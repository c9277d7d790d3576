"""Whether a model version takes the elements of BYTES inputs as `str`.

A backend that does saves the way from text to bytes and back, twice per request. What a scheduler looks into, pads,
joins or stores are `bytes`, though.
"""

from despina.models.batch_layout import BatchLayout
from despina.models.loader import LoadedVersion
from despina.models.signature import takes_oversize


def takes_text(loaded: LoadedVersion) -> bool:
    """Whether the backend takes `str`, and nothing on the way to it or back minds."""
    config = loaded.config
    changed = loaded.layout != BatchLayout() or loaded.sequences is not None or takes_oversize(config)
    return not changed and not config.response_cache.enable and bool(getattr(loaded.backend, "takes_text", False))

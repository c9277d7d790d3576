"""Whether requests that came together may go through a model's scheduler as one.

Front ends send their owner what came to them in the same moment: one message instead of many, and one decision, one
copy and one answer in the owner for all of it. Such a group is never split, so it must not matter to anybody how
requests are put into batches, as long as these are not too large. Whatever counts, orders, times out, compares or
stores requests one by one rules it out.
"""

from despina.config.proto import ModelConfig
from despina.models.batch_layout import BatchLayout
from despina.models.schedulers import SchedulingOptions, slo_target_ns, takes_what_fits
from despina.models.signature import takes_oversize


def group_rows(config: ModelConfig, options: SchedulingOptions, layout: BatchLayout, equal_shapes: bool = False) -> int:
    """How many rows of requests may be scheduled together, 0 where each must go by itself. `equal_shapes`: the inputs
    of requests that come together have the same shapes even where the model takes others."""
    rows = int(config.max_batch_size)
    counted = options.hold_requests or 0 < options.queue_limits.rows < rows
    cached = options.cache is not None and config.response_cache.enable
    changed = layout != BatchLayout() or takes_oversize(config)
    if counted or cached or changed or slo_target_ns(config) or not takes_what_fits(config, equal_shapes):
        return 0
    return rows

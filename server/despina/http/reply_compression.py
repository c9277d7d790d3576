"""Where a reply is compressed: a small one at once, a large one in a thread, so that nobody waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from despina.http.compression import IN_THREAD_SIZE
from despina.http.infer_exchange import InferReply, compressed

_log = logging.getLogger(__name__)


def compress_reply(
    loop: asyncio.AbstractEventLoop, reply: InferReply, encoding: str, finish: Callable[[InferReply], None]
) -> None:
    """Call `finish` with the reply as `encoding`, perhaps before this returns."""
    if reply.size < IN_THREAD_SIZE:
        finish(compressed(reply, encoding))
        return
    try:
        compressing = loop.run_in_executor(None, compressed, reply, encoding)
    except RuntimeError as error:
        # No thread any more at the end of the server, or not one more. Nobody has to compress an answer.
        _log.warning("an answer of %d bytes is not compressed: %s", reply.size, error)
        finish(reply)
    else:
        compressing.add_done_callback(lambda done: finish(done.result()))

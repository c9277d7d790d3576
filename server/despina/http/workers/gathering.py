"""Requests of a front end that came in the same moment, put together for their owner.

All that is ready on the sockets is read before anything is sent. Requests of the same kind then go as a group: their
rows side by side in one slot of shared memory, one message, one answer. What the owner has to do for a group is hardly
more than for a single request, so one owner can serve many front ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from despina.http.workers.layout import GroupLayouts
from despina.scheduling.pending import Pending

if TYPE_CHECKING:
    from despina.http.workers.remote_model import RemoteModel


@dataclass(frozen=True, slots=True, eq=False)
class SentKind:
    """What requests for a model have in common that may go together: the `text` of their `RequestKind` and how they lie
    in shared memory. No more than `most` make a group."""

    model: RemoteModel
    text: bytes
    layouts: GroupLayouts
    most: int


class Gathering:
    """Hands over what was gathered in a turn of the loop, at its end, in groups. `call_soon` is the loop's."""

    def __init__(
        self, call_soon: Callable[[Callable[[], None]], object], send: Callable[[SentKind, list[Pending]], None]
    ) -> None:
        self._call_soon = call_soon
        self._send = send
        self._gathered: dict[SentKind, list[Pending]] = {}

    def put(self, kind: SentKind, pending: Pending) -> None:
        """Send a request together with others of its kind."""
        if not self._gathered:
            self._call_soon(self._send_all)
        requests = self._gathered.get(kind)
        if requests is None:
            self._gathered[kind] = [pending]
        else:
            requests.append(pending)

    def _send_all(self) -> None:
        gathered, self._gathered = self._gathered, {}
        for kind, requests in gathered.items():
            for start in range(0, len(requests), kind.most):
                group = requests[start : start + kind.most]
                try:
                    self._send(kind, group)
                except Exception as error:
                    for pending in group:
                        pending.fail(error)

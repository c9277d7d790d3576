"""When a change on disk may be believed.

Copying a model takes a while, and a poll may see the first half of it. A change is taken once the directory looked the
same on two polls in a row, or once its newest time stamp is old enough that nobody can still be writing.
"""

SETTLE_SECONDS = 5.0


class Settling:
    """Remembers what the previous poll saw of every model."""

    def __init__(self, settle_seconds: float = SETTLE_SECONDS) -> None:
        self._settle_seconds = settle_seconds
        self._seen: dict[str, object] = {}

    def is_settled(self, name: str, stamp: object, newest: float | None, now: float) -> bool:
        """Whether `stamp` can be taken. `newest` is the latest change in seconds since the epoch (None: the model is
        gone, and only a second look confirms that), `now` the same clock."""
        same_as_before = self._seen.get(name, _NEVER) == stamp
        self._seen[name] = stamp
        return same_as_before or (newest is not None and now - newest >= self._settle_seconds)

    def forget(self, name: str) -> None:
        """The change was taken or went away."""
        self._seen.pop(name, None)


_NEVER = object()

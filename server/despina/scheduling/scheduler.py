"""What every scheduler is to its model, and a scheduler that adds something to another one."""

from collections.abc import Callable
from typing import Protocol

from despina.scheduling.pending import Pending


class Scheduler(Protocol):
    """What decides when a request of a model runs. One per model version, chosen by its configuration."""

    def submit(self, pending: Pending) -> None:
        """Take a request. Raises DespinaError when it cannot be taken; otherwise `pending.on_done` follows."""
        ...

    def request_gone(self, pending: Pending) -> None:
        """The client of a taken request hung up."""
        ...

    @property
    def busy(self) -> bool:
        """Whether any taken request is unanswered."""
        ...

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Call back once, as soon as nothing taken is unanswered."""
        ...

    def close(self) -> None:
        """Give up what is shared with other models. Called on the event loop's thread when nothing is unanswered."""
        ...


class Draining(list[Callable[[], None]]):
    """Whom `when_idle` has to call back. There is somebody only when the model is about to go: as long as there is,
    nothing waits for requests that may come."""

    def take(self) -> list[Callable[[], None]]:
        """All of them; each is called back once."""
        callbacks = self.copy()
        self.clear()
        return callbacks


class Layer:
    """A scheduler around another one, but for `submit`: there a subclass changes requests on their way in, and answers
    by putting itself before `on_done`."""

    def __init__(self, inner: Scheduler) -> None:
        self._inner = inner

    def request_gone(self, pending: Pending) -> None:
        self._inner.request_gone(pending)

    @property
    def busy(self) -> bool:
        return self._inner.busy

    def when_idle(self, callback: Callable[[], None]) -> None:
        self._inner.when_idle(callback)

    def close(self) -> None:
        self._inner.close()

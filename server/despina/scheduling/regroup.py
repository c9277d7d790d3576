"""Keeping the clients of a short model together.

While a batch runs on the loop's thread, others ask; they would run next, while the first ones, just answered, ask
again, and so on in two groups. For models so short that they run on the loop, a batch of all of them takes hardly
longer than one of half of them. So after such a batch the next one waits until as many ask as before, but for no longer
than the way to a client and back takes. If nobody comes, that is not tried again for some batches.
"""


class Regroup:
    """Whether a batch should wait a moment for the rest of its clients."""

    WAIT_NS = 60_000
    SKIPPED = 32
    """So many batches do not wait after one that waited in vain."""

    def __init__(self) -> None:
        self._ran = 0
        self._expected = 0
        self._until_ns = 0
        self._before = 0
        self._skip = 0

    def ran(self, requests: int) -> None:
        """A batch of so many requests has run on the loop's thread; 0 for one that runs elsewhere. Those who asked in
        the meantime are seen at the next turn."""
        self._ran = requests
        self._expected = 0

    def waits(self, pending: int, now_ns: int) -> bool:
        """Whether the requests that are pending should wait for more, and be asked about again at once."""
        if self._ran:
            self._expected = self._ran + pending
            self._ran = 0
        if not 0 < pending < self._expected:
            self._until_ns = 0
            return False
        if self._until_ns:
            return self._goes_on(pending, now_ns)
        if self._skip:
            self._skip -= 1
            return False
        self._until_ns = now_ns + self.WAIT_NS
        self._before = pending
        return True

    def _goes_on(self, pending: int, now_ns: int) -> bool:
        if now_ns < self._until_ns:
            return True
        if pending == self._before:
            self._skip = self.SKIPPED
        self._until_ns = 0
        return False

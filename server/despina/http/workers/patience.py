"""When to give up on a front end that hangs: the system takes it for alive, clients are sent to it, nobody is answered.

Patience is counted in beats of the owner, not read from a clock: while the owner itself, or the whole machine, is held
up, nothing beats, and no front end is blamed for it. A front end answers as soon as its loop comes round; until then it
may be busy with a large request, for minutes if the request is large enough. No sign of life from within could tell
that from hanging, because a single call may hold up all threads of a process. But the system knows: what hangs uses no
processor.
"""

BEAT_S = 1.0

BEATS = 20
"""How many may stay unanswered by a front end that does nothing. Generous: the clients of a front end that is killed go
to the others, and slow those down."""

BEATS_AT_START = 60
"""As many until the first answer: before it can answer, a front end reads all that it is made of from a disk."""

BUSY_BEATS = 900
"""How many may stay unanswered by a front end that works. The most work is in the largest body that HTTP admits, 2 GB,
when it is nothing but empty strings: at 170 ms for each MB (measured) it takes 6 minutes. What takes much longer than
that is a loop without an end."""


class Patience:
    """What is left of it with one front end."""

    def __init__(self) -> None:
        self._idle_left = BEATS_AT_START
        self._left = BUSY_BEATS
        self._worked = 0

    def answered(self) -> None:
        self._idle_left = BEATS
        self._left = BUSY_BEATS

    def beat(self, worked: int) -> bool:
        """Whether there is any left for one more beat. `worked` is the processor time that the front end has used since
        it was started, in any unit."""
        self._left -= 1
        if worked > self._worked:
            self._idle_left = max(self._idle_left, BEATS)
        else:
            self._idle_left -= 1
        self._worked = worked
        return self._idle_left >= 0 and self._left >= 0

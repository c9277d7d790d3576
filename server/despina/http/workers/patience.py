"""When to give up on a front end that hangs: the system takes it for alive, clients are sent to it, nobody is answered.

Patience is counted in beats of the owner, not read from a clock: while the owner itself, or the whole machine, is held
up, nothing beats, and no front end is blamed for it. A front end answers as soon as its loop comes round; until then it
may be busy with a large request.
"""

BEAT_S = 1.0

BEATS = 20
"""How many may stay unanswered. Generous: the clients of a front end that is killed for being slow go to the others,
and slow those down."""

BEATS_AT_START = 60
"""As many until the first answer: before it can answer, a front end imports all that it is made of."""


class Patience:
    """What is left of it with one front end."""

    def __init__(self) -> None:
        self._left = BEATS_AT_START

    def answered(self) -> None:
        self._left = BEATS

    def beat(self) -> bool:
        """Whether there is any left for one more beat."""
        self._left -= 1
        return self._left >= 0

"""Which model instances may run now, across all models, when they share resources (config §5.7).

An instance names what it needs: so many of a resource of its device, or of one that exists once in the server. It runs
only while it holds all of that. Instances that find something missing stand in one line, in the order of how often they
ran times their priority, lowest first. When resources come free, the line is walked from its head: whoever finds all it
needs gets it. Who does not keeps a claim on what it needs, so that those behind cannot take it away piece by piece; but
what it does not need is none of its business, and goes to the next who does. So nobody starves, and nobody waits for a
resource that it has no use for.

Everything happens on the event loop's thread.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from despina.errors import InvalidArgument


class Resource(NamedTuple):
    """`device` None: exists once in the server, or, as a key of limits, on every device alike. A tuple, because it is
    looked up for every instance that waits whenever one has run."""

    name: str
    device: int | None = None


@dataclass(frozen=True, slots=True)
class Demand:
    """So many of a resource are held while an instance runs."""

    resource: Resource
    count: int


class Permit:
    """An instance's standing: what it needs, how often it ran, whether it may run now. `wake` tells its owner, later,
    that it may."""

    RUN_BEFORE = 2
    """In tritonserver the limiter also lets an instance be made and be warmed up. Both count as executions."""

    __slots__ = ("demands", "held", "number", "priority", "score", "wake")

    def __init__(self, demands: Sequence[Demand], priority: int, wake: Callable[[], object]) -> None:
        self.demands = tuple(demands)
        self.priority = max(1, priority)
        self.wake = wake
        self.held = False
        self.score = self.RUN_BEFORE * self.priority
        self.number = 0

    @property
    def rank(self) -> tuple[int, int]:
        """Place in the line: the score, then who came first."""
        return self.score, self.number


class RateLimiter:
    """The resources of a server. `limits` says how many there are, and then there are no others; None means as many of
    each as the most demanding instance needs."""

    CREDIT = 100
    """An instance that had nothing to do for a long time goes before others so many times (divided by its priority)
    and then takes turns with them. Without a bound, one that is new would keep an old one from running for as often as
    that ever ran."""

    def __init__(self, limits: dict[Resource, int] | None = None) -> None:
        self._limits = limits
        self._permits: set[Permit] = set()
        self._line: dict[Permit, None] = {}
        self._counts: dict[Resource, int] = {}
        self._in_use: dict[Resource, int] = {}
        self._arrivals = 0
        self._latest_score = 0

    # ------------------------------------------------------------------------------------------ coming and leaving

    def join(self, permits: Sequence[Permit]) -> None:
        """Instances of a model that is being loaded. Raises InvalidArgument when one of them could never run."""
        kinds = {demand.resource.name: demand.resource.device is None for demand in self._demands(self._permits)}
        for demand in self._demands(permits):
            resource = demand.resource
            if kinds.setdefault(resource.name, resource.device is None) != (resource.device is None):
                raise InvalidArgument(
                    f'Resource "{resource.name}" is present as both global and device-specific resource in the model '
                    "configuration."
                )
            self._check_limit(demand)
        self._permits.update(permits)
        self._count()

    def _check_limit(self, demand: Demand) -> None:
        limit = self._explicit_limit(demand.resource)
        if limit is not None and limit < demand.count:
            raise InvalidArgument(
                f'Resource count for "{demand.resource.name}" is limited to {limit} which will prevent scheduling of '
                f"one or more model instances, the minimum required count is {demand.count}"
            )

    def leave(self, permits: Iterable[Permit]) -> None:
        """Instances that are gone."""
        gone = tuple(permits)
        self.give_up(*gone)
        self._permits.difference_update(gone)
        self._count()

    @staticmethod
    def _demands(permits: Iterable[Permit]) -> Iterable[Demand]:
        return (demand for permit in permits for demand in permit.demands)

    # --------------------------------------------------------------------------------------------- running in turn

    def acquire(self, permit: Permit) -> bool:
        """Whether the instance may run now. If not, it stands in the line from now on, and `wake` is called when it
        may; then it holds its resources until `release` or `give_up`."""
        if permit.held:
            return True
        if permit not in self._line:
            self._line_up(permit)
            # One more claim lets nobody else run.
            if self._fits(permit, {}):
                self._serve_line(permit)
        return permit.held

    def _line_up(self, permit: Permit) -> None:
        self._arrivals += 1
        permit.number = self._arrivals
        permit.score = max(permit.score, self._latest_score - self.CREDIT)
        self._line[permit] = None

    def release(self, permit: Permit, again: bool = False) -> None:
        """The instance has run; `again`: its model has more to run. Then it lines up before the others are served, or
        two models that share a resource would alternate whatever their priorities."""
        self._take_back(permit)
        if again:
            self._line_up(permit)
        self._serve_line()

    def give_up(self, *permits: Permit) -> None:
        """Instances that have nothing to run any more."""
        standing = [permit for permit in permits if permit.held or permit in self._line]
        for permit in standing:
            if permit.held:
                permit.score -= permit.priority
                self._take_back(permit)
            else:
                del self._line[permit]
        if standing:
            self._serve_line()

    def _take_back(self, permit: Permit) -> None:
        permit.held = False
        for demand in permit.demands:
            self._in_use[demand.resource] -= demand.count

    def _serve_line(self, caller: Permit | None = None) -> None:
        """Give out what is free; `caller` sees for itself whether it got something."""
        claimed: dict[Resource, int] = {}
        for permit in sorted(self._line, key=lambda waiting: waiting.rank):
            fits = self._fits(permit, claimed)
            for demand in permit.demands:
                taken = self._in_use if fits else claimed
                taken[demand.resource] = taken.get(demand.resource, 0) + demand.count
            if fits:
                self._grant(permit)
                if permit is not caller:
                    permit.wake()

    def _grant(self, permit: Permit) -> None:
        del self._line[permit]
        permit.held = True
        self._latest_score = permit.score
        permit.score += permit.priority

    def _fits(self, permit: Permit, claimed: dict[Resource, int]) -> bool:
        return all(self._free(demand.resource, claimed) >= demand.count for demand in permit.demands)

    def _free(self, resource: Resource, claimed: dict[Resource, int]) -> int:
        return self._counts[resource] - self._in_use.get(resource, 0) - claimed.get(resource, 0)

    def _count(self) -> None:
        """How many of each resource there are."""
        self._counts = {}
        for demand in self._demands(self._permits):
            limit = self._explicit_limit(demand.resource)
            count = demand.count if limit is None else limit
            self._counts[demand.resource] = max(count, self._counts.get(demand.resource, 0))

    def _explicit_limit(self, resource: Resource) -> int | None:
        """The largest that the command line says: for every device or for its own, and for any device where there is
        one in the server. With any limit given, a resource without one does not exist."""
        if self._limits is None:
            return None
        devices = (None, resource.device)
        said = [
            count
            for (name, device), count in self._limits.items()
            if name == resource.name and (resource.device is None or device in devices)
        ]
        return max(said, default=0)

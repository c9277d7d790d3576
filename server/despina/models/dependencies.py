"""Which model needs which: ensembles and their steps, as a plain mapping name → names of its steps.

Pure functions; a name that is not in the mapping has no steps.
"""

from collections.abc import Iterable, Mapping, Set

from despina.config.proto import ModelConfig

Steps = Mapping[str, Iterable[str]]


def steps_of(config: ModelConfig) -> tuple[str, ...]:
    """The models an ensemble runs, each once, in the order of its steps; nothing for any other model."""
    return tuple(dict.fromkeys(step.model_name for step in config.ensemble_scheduling.step))


def find_cycle(name: str, steps: Steps) -> list[str] | None:
    """A way from `name` along steps that comes back to where it was, as [first, ..., first], or None."""
    path: list[str] = []
    done: set[str] = set()

    def walk(current: str) -> list[str] | None:
        if current in path:
            return [*path[path.index(current) :], current]
        if current in done:
            return None
        path.append(current)
        for step in steps.get(current, ()):
            if cycle := walk(step):
                return cycle
        done.add(path.pop())
        return None

    return walk(name)


def users_of(names: Iterable[str], steps: Steps) -> set[str]:
    """The ensembles with any of `names` among their own steps."""
    wanted = set(names)
    return {user for user, used in steps.items() if not wanted.isdisjoint(used)}


def needed_by(names: Iterable[str], steps: Steps) -> set[str]:
    """Everything that `names` run directly or through other ensembles; a name of `names` only if another needs it."""
    found: set[str] = set()
    pending = [step for name in names for step in steps.get(name, ())]
    while pending:
        step = pending.pop()
        if step not in found:
            found.add(step)
            pending.extend(steps.get(step, ()))
    return found


def left_over(unloaded: str, steps: Steps, explicit: Set[str]) -> list[str]:
    """What unloading `unloaded` together with its dependents takes along: everything it runs that nobody loaded by
    name and that no remaining ensemble runs. Ensembles come before their steps. `steps` holds loaded models only."""
    remaining = {name: tuple(used) for name, used in steps.items() if name != unloaded}
    candidates = needed_by([unloaded], steps) - explicit - {unloaded}
    order: list[str] = []
    while free := sorted(name for name in candidates if not users_of([name], remaining)):
        for name in free:
            candidates.discard(name)
            remaining.pop(name, None)
        order.extend(free)
    return order

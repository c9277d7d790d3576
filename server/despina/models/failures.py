"""Why a model is not served: it could not be read, its versions did not load, or it could not be loaded as a whole."""

from collections.abc import Mapping

from despina.errors import DespinaError, InvalidArgument


class NotInRepository(DespinaError):
    """The poll stage failed: the configuration could not be read or contradicts itself, or there is no such model. The
    reason goes to the log; the client is told this much."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"failed to load '{name}', failed to poll from model repository")
        self.reason = reason


class NotLoaded(InvalidArgument):
    """The load stage failed, and what clients are told. `fits` is False for an ensemble that its steps keep from being
    loaded."""

    def __init__(self, name: str, why: str, *, fits: bool = True) -> None:
        super().__init__(f"load failed for model '{name}': {why}\n")
        self.why = why
        self.fits = fits


class LoadFailed(Exception):
    """Some versions did not load, so none was kept. `reasons` by version, `<Code>: <message>`."""

    def __init__(self, reasons: Mapping[int, str]) -> None:
        super().__init__(dict(reasons))
        self.reasons = reasons


def reason_of(error: BaseException) -> str:
    """A failure as the index and the answers of load requests spell it: `<Code>: <message>`."""
    if isinstance(error, DespinaError):
        return f"{error.word}: {error.message}"
    # What a backend that exits says for itself may be nothing but a number.
    return f"{DespinaError.word}: {error!r}" if isinstance(error, SystemExit) else f"{DespinaError.word}: {error}"

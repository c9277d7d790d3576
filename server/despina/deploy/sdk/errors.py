"""The exceptions that notebooks catch, by the names they know."""

from collections.abc import Iterator
from contextlib import contextmanager

from despina.deploy.score.model_path import ModelNotFoundException
from despina.errors import DespinaError, InvalidArgument, NotFound

__all__ = ["ModelNotFoundException", "UserErrorException", "WebserviceException", "translated"]


class WebserviceException(DespinaError):
    """An operation on a registered model or on a service failed."""


class UserErrorException(InvalidArgument):
    """The arguments do not fit together."""


@contextmanager
def translated() -> Iterator[None]:
    """Gives errors of the layers below their SDK names."""
    try:
        yield
    except (WebserviceException, UserErrorException, ModelNotFoundException):
        raise
    except InvalidArgument as error:
        raise UserErrorException(error.message) from None
    except NotFound as error:
        prefix = "ModelNotFound: " if error.message.startswith("model ") else ""
        raise WebserviceException(prefix + error.message) from None
    except DespinaError as error:
        raise WebserviceException(error.message) from None

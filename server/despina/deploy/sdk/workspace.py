"""A workspace: one home directory."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from despina.deploy.home import FOLDER, Home, find_home
from despina.deploy.registry import Registry
from despina.deploy.sdk.errors import translated
from despina.deploy.services import Services

if TYPE_CHECKING:
    from despina.deploy.sdk.model import Model
    from despina.deploy.sdk.webservice import Webservice


class Workspace:
    """Models, services and environments below one directory. It belongs to no subscription and to no resource group."""

    subscription_id = resource_group = ""
    location = "local"

    def __init__(self, home: Home) -> None:
        self.home = home
        self.registry = Registry(home)
        self.services = Services(home, self.registry)

    @classmethod
    def from_config(cls, path: str | os.PathLike[str] | None = None) -> "Workspace":
        """The workspace of `$DESPINA_HOME`, else of the nearest `.despina/` above `path`, else a new one there."""
        with translated():
            home = find_home(os.environ, Path(path or "."), create=True)
        home.directory.mkdir(parents=True, exist_ok=True)
        return cls(home)

    @classmethod
    def create(cls, name: str, exist_ok: bool = True) -> "Workspace":
        """The workspace `name/.despina`, made if needed."""
        folder = Path(name) / FOLDER
        folder.mkdir(parents=True, exist_ok=exist_ok)
        return cls(Home(folder.absolute()))

    @property
    def name(self) -> str:
        return self.home.name

    @property
    def models(self) -> "dict[str, Model]":
        """The newest version of each model, by name."""
        from despina.deploy.sdk.model import Model

        return {model.name: model for model in Model.list(self, latest=True)}

    @property
    def webservices(self) -> "dict[str, Webservice]":
        """All services, by name."""
        from despina.deploy.sdk.webservice import Webservice

        return {service.name: service for service in Webservice.list(self)}

    def __repr__(self) -> str:
        return f"Workspace({str(self.home.directory)!r})"

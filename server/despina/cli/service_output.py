"""What the commands about services share."""

import os
from pathlib import Path
from typing import Any

from despina.cli.records import progress
from despina.deploy.home import find_home
from despina.deploy.registry import Registry
from despina.deploy.service import State
from despina.deploy.service_record import describe
from despina.deploy.services import Services
from despina.errors import Unavailable

COLUMNS = ("name", "state", "mode", "scoringUri", "models")


class OpenHome:
    """The services and the name of the workspace, of `$DESPINA_HOME` or the nearest `.despina/`."""

    def __init__(self) -> None:
        home = find_home(os.environ, Path())
        self.home = home
        self.workspace = home.directory.parent.name if home.directory.name == ".despina" else home.directory.name
        self.services = Services(home, Registry(home))

    def describe(self, name: str) -> dict[str, Any]:
        return describe(*self.services.get(name), self.workspace)

    def wait(self, name: str) -> None:
        """Returns when the service runs as asked.

        Raises:
            Unavailable: it does not; the log's last lines are on stderr then.
        """
        state = self.services.wait(name, progress)
        if state.state is State.RUNNING and state.error is None:
            progress(f"service {name} is running")
            return
        for line in state.log:
            progress(line)
        raise Unavailable(f"service {name}: {state.error}")

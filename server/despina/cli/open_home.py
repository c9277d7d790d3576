"""The services of a home directory, as the commands about them have it."""

import os
import signal
from pathlib import Path
from typing import Any

import click

from despina.cli.records import progress
from despina.deploy.home import find_home
from despina.deploy.registry import Registry
from despina.deploy.service import State
from despina.deploy.service_record import describe
from despina.deploy.services import Services
from despina.errors import Unavailable

INTERRUPTED = 128 + signal.SIGINT

COLUMNS = ("name", "state", "mode", "scoringUri", "models")


class OpenHome:
    """The services of `$DESPINA_HOME`, or of the nearest `.despina/`."""

    def __init__(self) -> None:
        self.home = find_home(os.environ, Path())
        self.services = Services(self.home, Registry(self.home))

    def describe(self, name: str) -> dict[str, Any]:
        return describe(*self.services.get(name), self.home.name)

    def wait(self, name: str) -> None:
        """Returns when the service runs as asked; exits as interrupted programs do when the person stops waiting.
        Raises Unavailable: it does not; the log's last lines are on stderr then."""
        try:
            state = self.services.wait(name, progress)
        except KeyboardInterrupt:
            # The service has processes of its own, which no key reaches.
            progress(
                f"the deployment goes on; see `despina service show -n {name}`, "
                f"end it with `despina service delete -n {name}`"
            )
            raise click.exceptions.Exit(INTERRUPTED) from None
        if state.state is State.RUNNING and state.error is None:
            progress(f"service {name} is running")
            return
        for line in state.log:
            progress(line)
        raise Unavailable(f"service {name}: {state.error}")

"""A service on this machine."""

import shutil
from collections.abc import Iterator

from despina.deploy.blobs import Blobs
from despina.deploy.folder import ServiceFolder
from despina.deploy.gate.keys import Keys
from despina.deploy.places.place import NewGeneration, Say
from despina.deploy.prepare import prepare_generation
from despina.deploy.running import ASK_SECONDS, current_state, start_or_tell, stop, wait_until_settled
from despina.deploy.service import Mode, ServiceSpec, ServiceState, State
from despina.deploy.supervisor.commands import PROMISED_PORT
from despina.deploy.supervisor.control import ask


class Machine:
    """Processes below a supervisor, and files in the service's folder."""

    def __init__(self, folder: ServiceFolder, blobs: Blobs) -> None:
        self._folder = folder
        self._blobs = blobs

    def deploy(self, new: NewGeneration, say: Say) -> None:
        """Raises InvalidArgument: the models cannot be served together."""
        root = self._folder.generation(new.spec.generation)
        for warning in prepare_generation(root, self._blobs, new.records, new.inference):
            say(f"warning: {warning}")
        if new.keys is not None:
            self._folder.write_keys(new.keys)
        before = self._folder.read_spec() if self._folder.exists else None
        self._folder.write_spec(new.spec)
        start_or_tell(self._folder, before)

    def wait(self, say: Say) -> ServiceState:
        state = wait_until_settled(self._folder)
        if state.state is State.DELETED:
            return state
        spec = self._folder.read_spec()
        self._forget_old_generations(spec, state)
        for warning in port_warnings(spec, state):
            say(f"warning: {warning}")
        return state

    def state(self) -> ServiceState:
        return current_state(self._folder)

    def log(self, lines: int) -> list[str]:
        return self._folder.tail(lines)

    def show_keys(self, keys: Keys) -> None:
        """Requests see them at once, connections stay."""
        ask(self._folder.path, {"command": "keys"}, timeout=ASK_SECONDS)

    def restart(self) -> None:
        start_or_tell(self._folder)

    def delete(self) -> None:
        stop(self._folder)

    def _forget_old_generations(self, spec: ServiceSpec, state: ServiceState) -> None:
        newest = spec.generation
        for path in (self._folder.path / "generations").glob("*"):
            # The one before may still have requests in flight, and one after may be on its way: nobody holds the lock.
            if path.name.isdigit() and int(path.name) < newest - 1 and int(path.name) != state.generation:
                shutil.rmtree(path, ignore_errors=True)


def port_warnings(spec: ServiceSpec, state: ServiceState) -> Iterator[str]:
    """Whether the inference server beside a script is elsewhere than where scripts are printed to look for it."""
    url = state.server_url
    if spec.mode is not Mode.MIDDLEWARE or state.state is not State.RUNNING or state.error or url is None:
        return
    address = f"localhost:{url.rpartition(':')[2]}"
    if address != f"localhost:{PROMISED_PORT}":
        yield (
            f"port {PROMISED_PORT} was taken, so the inference server of service {spec.name} is at {address}: "
            f"its entry script must connect to TRITON_HTTP_URL, which says so, not to localhost:{PROMISED_PORT}"
        )

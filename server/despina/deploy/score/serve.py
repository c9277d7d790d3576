"""The worker processes: gunicorn runs them, restarts them, and ends them when they hang."""

import importlib.util
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from despina.deploy.parent_death import die_with_parent
from despina.deploy.score.logs import configure_logs
from despina.deploy.score.script import ScriptError
from despina.deploy.score.settings import ScoreSettings
from despina.deploy.score.worker import start_worker
from despina.errors import Unsupported

BOOT_ERROR = 3
"""gunicorn ends the whole server when a worker exits with this status, instead of trying again for ever."""


def serve_score(settings: ScoreSettings, addresses: Sequence[str]) -> None:
    """Runs until a signal ends it; does not return then (gunicorn exits the process). Every one of the addresses, each
    `HOST:PORT`, answers everything. Raises Unsupported: gunicorn is not installed. Raises InvalidArgument: the script's
    logging.json is not right."""
    if importlib.util.find_spec("gunicorn") is None:
        raise Unsupported("entry scripts need gunicorn, which is not installed: pip install 'despina[score]'")
    configure_logs(settings)
    from gunicorn.errors import HaltServer

    try:
        _application(settings, addresses).run()
    except HaltServer as halt:
        # gunicorn catches the first worker's; when two fail at once the second comes out of its clean-up.
        sys.exit(halt.exit_status)


def _application(settings: ScoreSettings, addresses: Sequence[str]) -> Any:
    from gunicorn.app.base import BaseApplication

    class ScoreApplication(BaseApplication):  # type: ignore[misc, unused-ignore]
        def load_config(self) -> None:
            for name, value in gunicorn_options(settings, addresses).items():
                if name in self.cfg.settings:  # older versions lack some
                    self.cfg.set(name, value)

        def load(self) -> Any:
            # Lines of the script's own print() belong in the log when they are printed.
            sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
            try:
                return start_worker(settings)
            except ScriptError:
                sys.exit(BOOT_ERROR)

    return ScoreApplication()


def gunicorn_options(settings: ScoreSettings, addresses: Sequence[str]) -> dict[str, Any]:
    """Sync workers: the scoring timeout needs run() in a main thread, and one worker is one request at a time."""
    return {
        "bind": list(addresses),
        "workers": settings.worker_count,
        "worker_class": "sync",
        "timeout": settings.worker_timeout_seconds,
        "preload_app": settings.worker_preload,
        "proc_name": f"despina score {settings.service_name}",
        "worker_tmp_dir": "/dev/shm" if os.access("/dev/shm", os.W_OK) else None,
        "control_socket_disable": True,
        # By default whoever connects from this machine may say with SCRIPT_NAME which part of the path counts. The gate
        # does, and passes on what clients send.
        "forwarder_headers": "",
        "post_fork": _tie_to_parent,
        "worker_exit": _close_worker,
    }


def _tie_to_parent(server: Any, worker: Any) -> None:
    # A sync worker looks for its parent only when its wait for a request ends, after minutes.
    die_with_parent(signal.SIGKILL, parent=server.pid)()


def _close_worker(server: Any, worker: Any) -> None:
    app = getattr(worker, "wsgi", None)  # absent when the worker did not get so far
    if app is not None:
        app.close()

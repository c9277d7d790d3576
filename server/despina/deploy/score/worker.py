"""What one worker process does before its first request."""

import itertools
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from despina.deploy.score.app import ScoreApp
from despina.deploy.score.invoke import Caller
from despina.deploy.score.script import Script, ScriptError, load_script
from despina.deploy.score.settings import ScoreSettings
from despina.deploy.score.shims import install_shims
from despina.deploy.score.swagger import Swagger, make_swagger

log = logging.getLogger("despina.score")

TREE_LINES = 200


def start_worker(settings: ScoreSettings) -> ScoreApp:
    """Loads the script, runs its init() and returns the application. Raises ScriptError: the script cannot be served.
    Everything a user needs to know is in the log by then."""
    extend_path(settings)
    made = install_shims()
    log.debug("stand-ins for modules that are not installed: %s", ", ".join(made) or "none")
    caller = Caller(settings.scoring_timeout_ms)
    try:
        script = load_script(settings.entry_script)
        log.info("Found user script at %s", script.module.__file__)
        _initialise(settings, script, caller)
        swagger = _swagger(settings, script)
    except ScriptError as error:
        log.error("%s", error, exc_info=error.__cause__)
        caller.close()
        raise
    log.info("ready, scoring timeout %d ms", settings.scoring_timeout_ms)
    return ScoreApp(settings, script, swagger, caller)


def extend_path(settings: ScoreSettings) -> None:
    """Lets the script import what lies in the app root, in the source directory and beside itself."""
    script = settings.entry_script
    for folder in (settings.app_root, settings.source_directory, script.parent if script else None):
        if folder is not None and str(folder) not in sys.path:
            sys.path.append(str(folder))


def _initialise(settings: ScoreSettings, script: Script, caller: Caller) -> None:
    try:
        caller.initialise(script.module.init)
    except BaseException as error:
        if settings.model_directory is not None and settings.model_directory.is_dir():
            _log_tree(settings.model_directory)
        raise ScriptError("User's init function failed") from error


def _swagger(settings: ScoreSettings, script: Script) -> Swagger:
    try:
        return make_swagger(settings, script)
    except (ValueError, OSError) as error:
        raise ScriptError("A swagger file in the app root cannot be read") from error


def _log_tree(folder: Path) -> None:
    log.info("model directory contents:")
    lines = tree(folder)
    for line in itertools.islice(lines, TREE_LINES):
        log.info("%s", line)
    if next(lines, None) is not None:
        log.info("only the first %d lines are shown", TREE_LINES)


def tree(path: Path, depth: int = 0) -> Iterator[str]:
    """A folder's content, one line for each name, indented by depth."""
    yield "    " * depth + path.name + ("/" if path.is_dir() else "")
    if path.is_dir():
        for child in sorted(path.iterdir()):
            yield from tree(child, depth + 1)

"""Another process of this interpreter that imports what this one would import."""

import os
import sys


def command(module: str, *arguments: object) -> list[str]:
    """Runs a module. `-m` alone would look for it in the working directory first."""
    return [sys.executable, "-P", "-m", module, *map(str, arguments)]


def environment() -> dict[str, str]:
    """What to run it in: this process's environment, with the places where this one looks for modules."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

"""`python -m despina.deploy.score HOST:PORT`: the workers of a service; everything else is in the environment."""

import os
import sys
from pathlib import Path

from despina.deploy.score.serve import serve_score
from despina.deploy.score.settings import read_settings
from despina.errors import DespinaError


def main() -> None:
    try:
        serve_score(read_settings(os.environ, Path.cwd()), sys.argv[1:])
    except DespinaError as error:
        sys.exit(error.message)


if __name__ == "__main__":
    main()

"""`python -m despina.deploy.supervisor FOLDER LOCK [READY]`: the supervisor of one service, started by its guard."""

import logging
import os
import sys
from pathlib import Path

import uvloop

from despina.deploy.folder import ServiceFolder
from despina.deploy.score.logs import LineFormatter
from despina.deploy.supervisor.supervisor import Supervisor


async def _run(folder: ServiceFolder, ready: int | None) -> None:
    await Supervisor(folder).run(ready)


def main() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    os.set_inheritable(int(sys.argv[2]), False)  # the lock ends with us, whatever scripts leave running
    ready = int(sys.argv[3]) if len(sys.argv) > 3 else None
    uvloop.run(_run(ServiceFolder(Path(sys.argv[1])), ready))


if __name__ == "__main__":
    main()

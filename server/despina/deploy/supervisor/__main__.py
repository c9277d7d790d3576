"""`python -m despina.deploy.supervisor FOLDER [READY]`: the supervisor of one service, started by its guard."""

import logging
import sys
import time
from pathlib import Path

import uvloop

from despina.deploy.folder import ServiceFolder
from despina.deploy.supervisor.supervisor import Supervisor


async def _run(folder: ServiceFolder, ready: int | None) -> None:
    await Supervisor(folder).run(ready)


def main() -> None:
    logging.Formatter.converter = staticmethod(time.gmtime)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname).1s [%(process)d] %(name)s - %(message)s"
    )
    ready = int(sys.argv[2]) if len(sys.argv) > 2 else None
    uvloop.run(_run(ServiceFolder(Path(sys.argv[1])), ready))


if __name__ == "__main__":
    main()

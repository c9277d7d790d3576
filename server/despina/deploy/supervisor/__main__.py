"""`python -m despina.deploy.supervisor FOLDER LOCK [READY]`: the supervisor of one service, started by its guard."""

import os
import sys
from pathlib import Path

import uvloop

from despina.deploy.folder import ServiceFolder
from despina.deploy.score.logs import log_to_stderr
from despina.deploy.supervisor.supervisor import Supervisor


def main() -> None:
    log_to_stderr()
    os.set_inheritable(int(sys.argv[2]), False)  # the lock ends with us, whatever scripts leave running
    ready = int(sys.argv[3]) if len(sys.argv) > 3 else None
    uvloop.run(Supervisor(ServiceFolder(Path(sys.argv[1]))).run(ready))


if __name__ == "__main__":
    main()

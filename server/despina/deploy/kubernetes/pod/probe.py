"""`python -m despina.deploy.kubernetes.pod.probe PORT PATH`: exit status 0 when GET gives 200 at the loopback address.

The kubelet itself asks at the pod's address, where the inference server and the score workers do not listen.
"""

import asyncio
import sys

from despina.deploy.http_status import status_of
from despina.deploy.kubernetes.pod.places import LOOPBACK


def main() -> None:
    sys.exit(asyncio.run(status_of(LOOPBACK, int(sys.argv[1]), sys.argv[2])) != 200)


if __name__ == "__main__":
    main()

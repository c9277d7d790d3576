"""`python -m despina.deploy.kubernetes.pod.probe PORT PATH`: exit status 0 when GET gives 200 at the loopback address.

The kubelet itself asks at the pod's address, where the inference server and the score workers do not listen.
"""

import asyncio
import sys

from despina.deploy.kubernetes.pod.places import LOOPBACK

SECONDS = 5.0


async def status_of(host: str, port: int, path: str) -> int:
    """The status that GET gives; 0 when nothing that speaks HTTP answers in time."""
    try:
        async with asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                line = await reader.readline()
            finally:
                writer.close()
    except OSError:  # TimeoutError is one
        return 0
    words = line.split()
    return int(words[1]) if line.startswith(b"HTTP/1.") and len(words) > 1 and words[1].isdigit() else 0


def main() -> None:
    sys.exit(asyncio.run(status_of(LOOPBACK, int(sys.argv[1]), sys.argv[2])) != 200)


if __name__ == "__main__":
    main()

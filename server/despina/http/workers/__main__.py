"""`python -m despina.http.workers CHANNEL DOOR REQUESTS RESULTS`: a front end, started by `WorkerListener`."""

import signal
import sys

# It is the owner who is asked to end, even where a signal goes to every process of a group.
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)

from despina.http.workers.front_end import main  # noqa: E402 - takes most of the start, in which signals come, too

main(*map(int, sys.argv[1:]))

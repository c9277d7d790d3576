"""`python -m despina.http.workers CHANNEL DOOR REQUESTS RESULTS`: a front end, started by `WorkerListener`."""

import sys

from despina.http.workers.front_end import main

main(*map(int, sys.argv[1:]))

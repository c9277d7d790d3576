"""`python -m despina_backends.process`: started by the server."""

import signal
import sys

if __name__ == "__main__":
    # It is the server who is asked to end, even where a signal goes to every process of a group.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)

    from despina_backends.process.child import main  # takes most of the start, in which signals come, too

    main(*map(int, sys.argv[1:4]))

"""`python -m despina_backends.process`: started by the server."""

import sys

from despina_backends.process.child import main

if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))

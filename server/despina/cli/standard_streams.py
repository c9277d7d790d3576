"""Standard input, output and error, which a process may be started without."""

import os
import sys

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def fill_standard_streams() -> None:
    """Have those that are closed lead nowhere, here and in the processes that are started from here.

    Their numbers would go to the next files and sockets otherwise. libuv ends a process that closes one of these, and
    what a library prints would be sent to a client.
    """
    for number, (name, mode) in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free is given, and that is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))

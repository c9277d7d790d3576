import signal
import subprocess
import sys

import pytest

PROGRAM = """
import signal, time
from contextlib import ExitStack
from benchmarks.signals import end_cleanly

def stop():
    print("stopping", flush=True)
    time.sleep(0.2)
    print("stopped", flush=True)

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
end_cleanly()
with ExitStack() as opened:
    opened.callback(stop)
    print("begun", flush=True)
    time.sleep(30)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_was_started_is_stopped_even_when_the_signal_comes_twice(number: int) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(number)
        assert process.stdout.readline() == "stopped\n"
        assert process.wait() == 128 + number


def test_under_nohup_a_closed_terminal_changes_nothing() -> None:
    program = (
        "import os, signal; from benchmarks.signals import end_cleanly; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
        "end_cleanly(); os.kill(os.getpid(), signal.SIGHUP); print('still here')"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "still here\n"

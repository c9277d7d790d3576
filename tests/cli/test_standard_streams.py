import subprocess
import sys

import pytest

PRINT_AND_OPEN = """
import os
from despina.cli.standard_streams import fill_standard_streams
fill_standard_streams()
print("nobody reads this")
print("nor this", file=__import__("sys").stderr)
with open(os.devnull) as file:
    os._exit(file.fileno())
"""


def exit_status(closed: str, code: str) -> int:
    """Of this code in a process that is started with those streams closed."""
    words = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", code]
    return subprocess.run(words, capture_output=True, check=False).returncode


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_file_gets_the_number_of_a_standard_stream(closed: str) -> None:
    assert exit_status(closed, PRINT_AND_OPEN) > 2


def test_streams_stay_filled_in_processes_that_are_started_from_here() -> None:
    child = "import os; [os.fstat(number) for number in range(3)]; os._exit(7)"
    code = (
        "import os, subprocess, sys\n"
        "from despina.cli.standard_streams import fill_standard_streams\n"
        f"fill_standard_streams()\nos._exit(subprocess.run([sys.executable, '-c', {child!r}]).returncode)"
    )
    assert exit_status("<&- >&- 2>&-", code) == 7


def test_open_streams_are_left_alone() -> None:
    code = "from despina.cli.standard_streams import fill_standard_streams; fill_standard_streams(); print('read')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"read\n"


def test_the_command_line_fills_them() -> None:
    code = """
import os
from despina.cli import main
main.cli = lambda **_: os._exit(os.open(os.devnull, os.O_RDONLY))
main.main()
"""
    assert exit_status("<&-", code) > 2

import errno
import os

import click
import pytest

from despina.cli.records import reported


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/srv/.despina"), "/srv/.despina: Permission denied"),
        (OSError(errno.EXDEV, os.strerror(errno.EXDEV), "/a", None, "/b"), "/a and /b: Invalid cross-device link"),
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)), "the current folder was deleted"),
        (TimeoutError("timed out"), "timed out"),
    ],
)
def test_errors_of_the_file_system_are_one_line_with_path_and_reason(error: OSError, message: str) -> None:
    with pytest.raises(click.ClickException, match=message), reported():
        raise error


def test_reader_that_has_gone_is_no_mistake() -> None:
    with pytest.raises(BrokenPipeError), reported():
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

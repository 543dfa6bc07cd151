"""The formats `github` and `github-output`: append variables to the files of a step of a GitHub workflow.

The command appends to the file itself and prints only the lines that mask the values. Were all printed to one stream,
either the masks would end up in the file, where the runner reports them with their values, or the variables in the log.
"""

import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress

from tweed_shim.errors import HostError
from tweed_shim.tweed import github_files

# The variable that names the file of each format.
FILES = {"github": "GITHUB_ENV", "github-output": "GITHUB_OUTPUT"}


def check(kind: str) -> None:
    """Raise HostError where the file of a format cannot be appended to, or the runner would not see the masks."""
    variable = FILES[kind]
    path = os.environ.get(variable)
    if not path:
        raise HostError(
            f"--format {kind} appends to the file that ${variable} names, and ${variable} is not set; "
            "use it in a step of a GitHub workflow, or use another --format"
        )
    if not _reaches_log(os.fstat(1).st_mode):
        raise HostError(
            f"--format {kind} appends to ${variable} itself, and prints lines that have the runner mask the values; "
            "stdout is a file, where the runner does not see them: leave the redirection out"
        )
    os.close(_open(path, variable))


def _reaches_log(mode: int) -> bool:
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(1)


def _open(path: str, variable: str) -> int:
    """Open the file that the runner has made. Raises HostError."""
    try:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise HostError(
            f"the file '{path}', which ${variable} names, cannot be opened ({error.strerror}); "
            "the runner makes it for each step: do not change the variable"
        ) from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise HostError(f"'{path}', which ${variable} names, is no file; do not change the variable")
    return file


def write(kind: str, blocks: str, values: Iterable[str]) -> None:
    """Print the masks of values, then append blocks to the file of the format. Raises HostError."""
    check(kind)
    sys.stdout.write(github_files.masks(values))
    sys.stdout.flush()
    variable = FILES[kind]
    file = _open(os.environ[variable], variable)
    try:
        _append(file, blocks.encode())
    except OSError as error:
        raise HostError(f"the file that ${variable} names cannot be written ({error.strerror})") from error
    finally:
        os.close(file)


def _append(file: int, data: bytes) -> None:
    """Append data to a file, all or nothing. A last line that another program left without its end is ended."""
    size = os.fstat(file).st_size
    if data and size and os.pread(file, 1, size - 1) != b"\n":
        data = b"\n" + data
    try:
        while data:
            data = data[os.write(file, data) :]
    except OSError:
        with suppress(OSError):
            os.ftruncate(file, size)
        raise

"""Shells in a terminal of their own, in which keys are pressed."""

import os
import pty
import select
import subprocess
from collections.abc import Mapping

PROMPT = b"READY> "
SECONDS = 30


def press(command: list[str], keys: str, env: Mapping[str, str]) -> bytes:
    """Start an interactive shell, press keys at its prompt READY>, and return its output when it has ended."""
    ours, theirs = pty.openpty()
    # The terminal controls the shell's session, as that of a user does.
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command], stdin=theirs, stdout=theirs, stderr=theirs, env=env
    )
    os.close(theirs)
    try:
        return _talk(ours, keys)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _talk(terminal: int, keys: str) -> bytes:
    output, pressed = b"", False
    while select.select([terminal], [], [], SECONDS)[0]:
        try:
            output += os.read(terminal, 4096)
        except OSError:
            return output  # EIO: nobody has the other side any more, pty(7)
        if not pressed and PROMPT in output:
            os.write(terminal, keys.encode())
            pressed = True
    raise AssertionError(f"the shell did not end: {output!r}")

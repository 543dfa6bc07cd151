"""Shells in a terminal of their own, in which keys are pressed."""

import contextlib
import os
import pty
import select
from collections.abc import Mapping

PROMPT = b"READY> "
SECONDS = 30


def press(command: list[str], keys: str, env: Mapping[str, str]) -> bytes:
    """Start an interactive shell, press keys at its prompt READY>, and return its output when it has ended."""
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(command[0], command, env)
    output, pressed = b"", False
    try:
        while select.select([terminal], [], [], SECONDS)[0]:
            try:
                data = os.read(terminal, 4096)
            except OSError:
                # The last process that had the terminal open has ended.
                return output
            output += data
            if not data:
                return output
            if not pressed and PROMPT in output:
                os.write(terminal, keys.encode())
                pressed = True
        raise AssertionError(f"{command[0]} did not end: {output!r}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(terminal)

"""Functions that tests call in a worker process: a new interpreter finds them by the name of this module."""

import hashlib
import os
import sys
import time
from typing import NoReturn

from tweed_shim.errors import ConfigError

LONG = 60  # seconds


def refuse() -> NoReturn:
    raise ConfigError("the file is wrong; correct it")


def fail() -> NoReturn:
    raise ZeroDivisionError("a fault of the program")


def die(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(LONG)


def compute() -> None:
    """Spend a quarter of an hour in one call of C code, in which Python's handlers of signals do not run."""
    hashlib.pbkdf2_hmac("sha512", b"", b"", (1 << 31) - 1)


def interpreter_arguments() -> list[str]:
    return sys.orig_argv[1:]


def start_and_forget(path: str) -> None:
    """Start a command that nothing here ends, write its process id to a file, and wait."""
    pid = os.posix_spawn("/bin/sleep", ["sleep", "1000"], os.environ)
    with open(path, "w", encoding="ascii") as file:
        file.write(str(pid))
    time.sleep(LONG)

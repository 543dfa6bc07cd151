"""The fixtures that every test can ask for; each lives in a module of its own."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import NoReturn

import pytest
from hypothesis import settings

# How long an example takes depends on what else the machine does.
settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")

pytest_plugins = [
    "accounts",
    "host_programs",
    "installed",
    "postgres_servers",
    "redis_servers",
    "sample_images",
    "script_images",
    "servers",
    "shared_runs",
]


def _interrupted(*_: object) -> NoReturn:
    # Among the children are the workers of pytest-xdist, which would be killed before they have removed their users.
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
        for pid in file.read().split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGTERM)
    raise KeyboardInterrupt


def pytest_configure() -> None:
    """End as after SIGINT where SIGTERM or SIGHUP comes: then pytest lets the fixtures remove what they made."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupted)


@pytest.fixture(autouse=True)
def own_process() -> Iterator[None]:
    """What the program changes of its process, where a test calls it in this one, does not reach the next test."""
    # Not at the top: a plugin that is imported before pytest knows it would lose its rewritten assertions.
    from installed import hear_signals

    hear_signals()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    umask = os.umask(0o022)
    os.umask(umask)
    yield
    os.umask(umask)
    for number, handler in handlers.items():
        signal.signal(number, handler)

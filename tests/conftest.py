"""The fixtures that every test can ask for; each lives in a module of its own."""

import os
import signal
from collections.abc import Iterator

import pytest

pytest_plugins = [
    "accounts",
    "host_programs",
    "installed",
    "redis_servers",
    "sample_images",
    "script_images",
    "servers",
]


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

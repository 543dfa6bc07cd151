"""How a container's first process is told from the runtime that becomes it."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tweed_shim.runtime import waiting

# Takes the name that runc gives its part in the container, and waits.
NAMED = "import ctypes; ctypes.CDLL(None).prctl(15, b'{}', 0, 0, 0); print(flush=True); input()"


@pytest.fixture(params=["runc:[2:INIT]", "redis-backend"])
def named(request: pytest.FixtureRequest) -> Iterator[tuple[int, bool]]:
    """A process with a name, and whether that is the runtime's."""
    name = request.param
    with subprocess.Popen(
        [sys.executable, "-c", NAMED.format(name)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid, name.startswith("runc:")
        process.communicate(b"\n")


def test_runc_is_known_by_the_name_that_it_has_in_the_container(named: tuple[int, bool]) -> None:
    pid, is_runtime = named
    assert waiting._is_runtime(pid, "/scratch/state") == is_runtime

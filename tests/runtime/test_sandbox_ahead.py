"""Sandboxes that are started one run ahead."""

import os
import select
import signal

import pytest

from tweed_shim.host.userns import IdMap
from tweed_shim.runtime.sandbox_ahead import SandboxAhead

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root makes a sandbox without a user namespace"
)

IDS = IdMap("host")


def is_there(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def test_a_sandbox_that_was_started_ahead_is_the_one_of_the_next_run() -> None:
    with SandboxAhead(IDS, runs=2) as ahead:
        ahead.start()
        ahead.start()
        with ahead.take() as first:
            ahead.start()
            with ahead.take() as second:
                assert first.pid != second.pid
                assert is_there(first.pid)
                assert is_there(second.pid)
        assert not is_there(first.pid)
        assert not is_there(second.pid)


def test_a_sandbox_that_no_run_takes_ends_with_the_block() -> None:
    with SandboxAhead(IDS, runs=1) as ahead:
        ahead.start()
        assert ahead._next is not None
        pid = ahead._next.pid
        assert is_there(pid)
    assert not is_there(pid)


def test_none_is_started_beyond_the_last_run() -> None:
    with SandboxAhead(IDS, runs=1) as ahead, ahead.take():
        ahead.start()
        assert ahead._next is None


def test_a_sandbox_that_was_killed_meanwhile_is_replaced() -> None:
    with SandboxAhead(IDS, runs=1) as ahead:
        ahead.start()
        assert ahead._next is not None
        killed = ahead._next.pid
        os.kill(killed, signal.SIGKILL)
        poll = select.poll()
        poll.register(ahead._next.pipes["reports"], 0)
        assert poll.poll(10_000), "its process 1 has not ended with it"
        with ahead.take() as taken:
            assert taken.pid != killed
            assert is_there(taken.pid)

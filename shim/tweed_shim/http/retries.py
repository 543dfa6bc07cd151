"""How often and after which pauses a failed request is repeated."""

from collections.abc import Callable
from random import SystemRandom

from tweed_shim.base.records import Record
from tweed_shim.errors import RegistryError
from tweed_shim.http.connection_group import ConnectionGroup
from tweed_shim.http.network_faults import PassingFault
from tweed_shim.http.transfer_rate import LowestRate


class RetryPolicy(Record):
    """The limits for repeated requests, and the timeouts of each request; times in seconds.

    attempts: how often a request is sent in all where it fails with a PassingFault. first_pause, longest_pause: the
    pause doubles from the first to the longest, which also limits a server's Retry-After. read_timeout: for a server
    that sends nothing. lowest_rate: for a server that sends slowly. sleep: called in place of waiting, for tests.
    """

    attempts: int = 5
    first_pause: float = 0.5
    longest_pause: float = 60.0
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    lowest_rate: LowestRate = LowestRate()
    sleep: Callable[[float], object] | None = None


DEFAULT_RETRY_POLICY = RetryPolicy()


class Retries:
    """Counts the consecutive failures of one request, and pauses after each."""

    def __init__(self, policy: RetryPolicy, connections: ConnectionGroup) -> None:
        self._policy = policy
        self._connections = connections
        self._failures = 0

    def renew(self) -> None:
        """Reset the count, because the transfer has made progress."""
        self._failures = 0

    def failed(self, fault: PassingFault) -> None:
        """Count a failure and pause before the next attempt. Raises RegistryError after the last attempt."""
        self._connections.check()
        self._failures += 1
        if self._failures >= self._policy.attempts:
            raise RegistryError(f"{fault} (tried {self._failures} times)") from fault
        (self._policy.sleep or self._connections.wait)(self._pause(fault))
        self._connections.check()

    def _pause(self, fault: PassingFault) -> float:
        doubled = self._policy.first_pause * float(2 ** (self._failures - 1))
        # Jitter, so that clients do not retry in step.
        pause = doubled * SystemRandom().uniform(0.5, 1)
        return min(max(pause, fault.retry_after or 0), self._policy.longest_pause)

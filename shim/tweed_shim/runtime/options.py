"""The options of a container: its network, time, limits and privileges."""

from collections.abc import Mapping

from tweed_shim.base import option_values
from tweed_shim.base.lean.typing import Any
from tweed_shim.base.option_values import flag, optional, path, sequence
from tweed_shim.base.records import Record
from tweed_shim.runtime import capabilities

NETWORKS = ("none", "host", "pasta")
# `default`, `unconfined`, or the object of the OCI runtime specification.
Profile = str | Mapping[str, Any]
DEFAULT_SECCOMP = "default"

DEFAULT_PIDS = 1024
# The kernel's own limits: PID_MAX_LIMIT, and MAX_BW for a period of 0.1 s (kernel/sched/sched.h).
MOST_PIDS = 1 << 22
MOST_CPUS = 100_000_000
MOST_MEMORY = (1 << 63) - 1
# Thirty years: as good as no limit, and no clock overflows.
MOST_SECONDS = 1e9


class Limits(Record):
    """The most that a run may use. memory: bytes; cpus: cores; pids: processes and threads.

    None stands for no limit of memory and cores, and for `DEFAULT_PIDS` processes where the host can count them. Raises
    ConfigError for a value that is no limit.
    """

    CHECKS = option_values.checks(
        memory=option_values.optional(option_values.whole_number(most=MOST_MEMORY, example="512 << 20")),
        cpus=option_values.optional(option_values.number(most=MOST_CPUS)),
        pids=option_values.optional(option_values.whole_number(most=MOST_PIDS, example="100")),
    )

    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None


def check_capability(value: object) -> str:
    """Check the name of a capability and return it in full. Raises ConfigError."""
    return capabilities.parse(value if isinstance(value, str) else option_values.text(value))


class ContainerOptions(Record):
    """Options for one container. They are part of its Request.

    network: `none`, `host` or `pasta`. timeout: how many seconds the run may take; None: as the contract says.
    read_only: the image's root cannot be written. scratch: a directory for what is written to the root; None for
    memory. cap_add and cap_drop: capabilities more and fewer than the default ones, or `ALL`. userns: whether the
    container has a user namespace of its own when root runs it (others' containers always have one); None: as
    `$TWEED_SHIM_USERNS` says, else no. seccomp: `default`, `unconfined`, or the path of a profile in the form of the
    OCI runtime specification.

    Raises ConfigError, which names the field, for a value that it cannot have: nothing falls back to a default.
    """

    network: str = "host"
    timeout: float | None = None
    limits: Limits = Limits()
    read_only: bool = False
    scratch: str | None = None
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    userns: bool | None = None
    seccomp: str = DEFAULT_SECCOMP

    CHECKS = option_values.checks(
        network=option_values.choice(*NETWORKS),
        timeout=optional(option_values.number(most=MOST_SECONDS)),
        limits=option_values.instance(Limits),
        read_only=flag,
        scratch=optional(path),
        cap_add=sequence(check_capability),
        cap_drop=sequence(check_capability),
        userns=optional(flag),
        seccomp=path,
    )

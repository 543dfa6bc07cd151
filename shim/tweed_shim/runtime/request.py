"""The two values of a run: the Request that travels down, and the Outcome that comes back."""

from collections.abc import Mapping

from tweed_shim import option_values
from tweed_shim.idmap import IdMap
from tweed_shim.lean import signal
from tweed_shim.lean.typing import Any
from tweed_shim.records import EMPTY, Record

# `default`, `unconfined`, or the object of the OCI runtime specification.
Profile = str | Mapping[str, Any]
DEFAULT_SECCOMP = "default"

RESULT_LIMIT = 4 << 20
KEEP_LIMIT = 1 << 30
DEFAULT_PIDS = 1024
# What the kernel counts with: PID_MAX_LIMIT, and MAX_BW of a period of 0.1 s (kernel/sched/sched.h).
MOST_PIDS = 1 << 22
MOST_CPUS = 100_000_000
MOST_MEMORY = (1 << 63) - 1
# Thirty years: enough to mean for ever, and no clock overflows.
MOST_SECONDS = 1e9


class Mount(Record):
    """A host file or directory that the container sees at `destination`, writable or not.

    keeps: mount options of the source that a user namespace may not drop: mount_namespaces(7), "locked".
    """

    source: str
    destination: str
    writable: bool = False
    keeps: tuple[str, ...] = ()


class Given(Record):
    """A directory that is in memory, and that the container can only read.

    destination: where it sees it. files: their content by their names. shown: files of the host by their names there.
    All of them belong to the program's user and are nobody else's; those of the host stay the user's.
    """

    destination: str
    files: Mapping[str, bytes]
    shown: Mapping[str, str] = EMPTY

    HIDDEN = ("files",)


class Made(Record):
    """A directory that is in memory and empty, for the program's user to write.

    destination: where the container sees it. place: the directory of the host to which plain files are copied at the
    end: those of these `names`, then `every` other, `limit` bytes in all; see `exchange.keep`.
    """

    destination: str
    place: str
    names: tuple[str, ...]
    every: bool
    limit: int


class Limits(Record):
    """What the user allows a run. memory: bytes; cpus: cores; pids: processes and threads.

    None sets no limit of its own: memory and cores are then unlimited, and processes `DEFAULT_PIDS` where the host can
    count. Raises ConfigError for what is no limit.
    """

    CHECKS = option_values.checks(
        memory=option_values.optional(option_values.whole_number(most=MOST_MEMORY, example="512 << 20")),
        cpus=option_values.optional(option_values.number(most=MOST_CPUS)),
        pids=option_values.optional(option_values.whole_number(most=MOST_PIDS, example="100")),
    )

    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None


class Request(Record):
    """One run of one program of an unpacked image.

    rootfs: the unpacked image. env: `NAME=value` texts. home: where a fresh writable directory is mounted, empty for
    none. mounts: the sources of writable ones belong to the program's user from its start on. keep_limit: the most
    bytes in all of these. given, made: directories
    in memory. stdin: what the program reads, None for nothing. stdout and stderr: `result` (captured whole, bounded by
    `RESULT_LIMIT` bytes), `log` (shown and kept), or, for stderr, `stdout` (the same pipe as stdout). network: `none`,
    `host` or `pasta`. timeout: seconds, None for none. cap_add and cap_drop: as `capabilities.parse` gives them.
    stop_signal: what asks the program to end when its time is up. architecture: what the image says that its programs
    are made for. userns: the ids of a user namespace that the host's root gives the container, None for none.
    """

    rootfs: str
    args: tuple[str, ...]
    env: tuple[str, ...]
    uid: int
    gid: int
    groups: tuple[int, ...]
    cwd: str
    home: str = ""
    mounts: tuple[Mount, ...] = ()
    keep_limit: int = KEEP_LIMIT
    given: Given | None = None
    made: Made | None = None
    stdin: bytes | None = None
    stdout: str = "log"
    stderr: str = "log"
    network: str = "host"
    limits: Limits = Limits()
    timeout: float | None = None
    read_only: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    seccomp: Profile = DEFAULT_SECCOMP
    stop_signal: int = signal.SIGTERM
    architecture: str = ""
    userns: IdMap | None = None


class Outcome(Record):
    """How a run ended.

    exit_code: 0 to 255, or None where signal `signal` ended it. result: what was captured. overflow: a result
    stream was longer than allowed. timed_out: its time was up. oom: it was ended for want of memory. full: it was ended
    because what it keeps was too large.
    seconds: the durations of its parts, by name. killed: why the shim killed it, such as `did not end within 10 s of
    SIGTERM`; "" where the shim did not.
    """

    exit_code: int | None
    signal: int | None
    result: bytes
    overflow: bool
    timed_out: bool
    oom: bool
    full: bool
    seconds: dict[str, float]
    killed: str = ""

    @property
    def code(self) -> int:
        """The exit code as a shell gives it: 128 and the signal's number where a signal ended the run."""
        return 128 + (self.signal or 0) if self.exit_code is None else self.exit_code

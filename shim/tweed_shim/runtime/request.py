"""The two values of a run: the Request that goes in, and the Outcome that comes out."""

from collections.abc import Mapping

from tweed_shim.base.lean import signal
from tweed_shim.base.records import EMPTY, Record
from tweed_shim.runtime.options import ContainerOptions
from tweed_shim.runtime.security_options import SecurityOptions

RESULT_LIMIT = 4 << 20
# Why the shim killed a run whose caller sent a second signal: `Outcome.killed`.
SECOND_SIGNAL = "was sent a second signal"
KEEP_LIMIT = 1 << 30
# The most bytes that a run has in memory: its bundle, with the writable layer, the volumes and copies.
BUNDLE_SIZE = 1 << 30
# The most files and directories in the writable directories that have a limit in common.
MOST_FILES = 1 << 18


class Process(Record):
    """The first process of a container, as the object `process` of config.json has it. env: `NAME=value` texts."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    uid: int
    gid: int
    groups: tuple[int, ...]
    cwd: str


class Mount(Record):
    """A host file or directory that the container sees at `destination`, writable or not.

    locked_options: those of the source that a user namespace may not drop: mount_namespaces(7), "locked".

    Of a writable directory: limit is the most bytes in it; None where it counts to the request's `keep_limit` with the
    others. kept: what is in it outlasts the run, however the program ends. It is synced after a failure, too. If
    another user of an image owned it before, all of it is given to the container's user.

    Of a read-only directory: for_user makes sure that the container's user can read all of it. Where the directory
    belongs to another user, the container sees a copy in memory that belongs to its own.
    """

    source: str
    destination: str
    writable: bool = False
    locked_options: tuple[str, ...] = ()
    limit: int | None = None
    kept: bool = False
    for_user: bool = False


class InputVolume(Record):
    """A directory in memory that the container can only read.

    destination: where the container sees it. files: contents by file name. host_files: paths of host files by the name
    that they have in the directory. All of them belong to the container's user, and nobody else may read them.
    """

    destination: str
    files: Mapping[str, bytes]
    host_files: Mapping[str, str] = EMPTY

    HIDDEN = ("files",)


class OutputVolume(Record):
    """A directory in memory, empty at first, for the container's user to write.

    destination: where the container sees it. directory: the host directory to which plain files are copied at the end:
    those with these `names`, then `every` other one, `limit` bytes in all; see `volumes.copy_out`.
    """

    destination: str
    directory: str
    names: tuple[str, ...]
    every: bool
    limit: int


class Request(Record):
    """One run of one program of an unpacked image.

    rootfs: the unpacked image. options: as the caller gave them; security: what they grant on this host. home: where a
    fresh writable directory is mounted, empty for none. mounts: directories and files of the host; the container's user
    becomes the owner of the writable ones. keep_limit: the most bytes in all writable ones that have no limit of their
    own. inputs, outputs: directories in memory. stdin: what the program reads, None for nothing. stdout and stderr:
    `result` (captured, up to `RESULT_LIMIT` bytes), `log` (shown and logged), or, for stderr, `stdout` (the same pipe
    as stdout). stop_signal: sent to the program when its time is up. architecture: the one that the image names for its
    programs. keep: a host directory that gets what the run wrote, for a look; "" for none. interactive: it
    reads the console's stdin as it comes, and nothing is logged. terminal: the rows and columns of the console's
    terminal, where an interactive run has one of its own.
    """

    rootfs: str
    process: Process
    options: ContainerOptions
    security: SecurityOptions
    home: str = ""
    mounts: tuple[Mount, ...] = ()
    keep_limit: int = KEEP_LIMIT
    inputs: InputVolume | None = None
    outputs: OutputVolume | None = None
    stdin: bytes | None = None
    stdout: str = "log"
    stderr: str = "log"
    stop_signal: int = signal.SIGTERM
    architecture: str = ""
    keep: str = ""
    interactive: bool = False
    terminal: tuple[int, int] | None = None


class Outcome(Record):
    """How a run ended.

    exit_code: 0 to 255, or None where signal `signal` ended it. result: the captured result stream. overflow: whether
    that was longer than allowed. timed_out: whether its time was up. oom: whether the kernel killed it for want of
    memory. full: the destination of the mount whose limit it exceeded, for which it was killed; the first of those that
    share `keep_limit`; "" where it did not. seconds: the durations of its parts, by name. killed: why the shim killed
    it, such as `did not end within 10 s of SIGTERM`; "" where the shim did not.
    """

    exit_code: int | None
    signal: int | None
    result: bytes
    overflow: bool
    timed_out: bool
    oom: bool
    full: str
    seconds: dict[str, float]
    killed: str = ""

    @property
    def code(self) -> int:
        """The exit code as a shell has it: 128 plus the signal's number where a signal ended the run."""
        return 128 + (self.signal or 0) if self.exit_code is None else self.exit_code

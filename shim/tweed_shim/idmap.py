"""Which user and group ids a run has, and how a user namespace gets them (user_namespaces(7)).

Root works without a user namespace. Anybody else gets one: with a subordinate range (subuid(5), newuidmap(1))
the ids 0 to N are mapped, 0 being the caller; without, only 0 is, and every file belongs to the caller.
"""

import os
import stat
import sys
from collections.abc import Callable, Iterator

from tweed_shim.letters import DIGITS, made_of
from tweed_shim.records import Record

LOOK_AGAIN = 20  # milliseconds
READ = 64 << 10
DEEPEST = 100  # directories in directories that are removed without the help of rm
BLOCK = 512  # the unit of st_blocks: stat(2)
# Where the tools of a system live.
SYSTEM_PLACES = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")
HELPERS = ("newuidmap", "newgidmap")
BECOMING = os.path.join(os.path.dirname(os.path.abspath(__file__)), "becoming.py")


class IdRange(Record):
    """`length` ids: `inside`, `inside` + 1, ... of the namespace are `outside`, `outside` + 1, ... of the host."""

    inside: int
    outside: int
    length: int

    def __str__(self) -> str:
        """As newuidmap(1) and /proc/PID/uid_map take it."""
        return f"{self.inside} {self.outside} {self.length}"


class IdMap(Record):
    """The ids of a user namespace; `uids` and `gids` are empty where none is made.

    kind: `host` (root, no namespace), `range` (subordinate ids) or `single` (the caller's id alone).
    """

    kind: str
    uids: tuple[IdRange, ...] = ()
    gids: tuple[IdRange, ...] = ()


def grants(path: str) -> list[tuple[str, int, int]]:
    """The lines of a file like /etc/subuid (subuid(5)): the user's name or number, and the start and count of ids."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return []
    fields = (line.strip().split(":") for line in lines)
    return [
        (field[0], int(field[1]), int(field[2]))
        for field in fields
        if len(field) == 3 and made_of(DIGITS, field[1]) and made_of(DIGITS, field[2])
    ]


def _subordinate(path: str, owner: str, owner_id: int) -> list[tuple[int, int]]:
    """The (start, count) ranges that are granted to a user, by name or by number."""
    return [(start, count) for user, start, count in grants(path) if user in (owner, str(owner_id))]


def _joined(granted: list[tuple[int, int]]) -> tuple[IdRange, ...]:
    """Ranges of (start, count) one after the other, from 0 on."""
    ranges = []
    inside = 0
    for start, count in granted:
        ranges.append(IdRange(inside, start, count))
        inside += count
    return tuple(ranges)


def _ranges(own_id: int, subordinate: list[tuple[int, int]]) -> tuple[IdRange, ...]:
    return _joined([(own_id, 1), *subordinate])


def find_program(name: str) -> str | None:
    """The path of a program, looked up on PATH and then in SYSTEM_PLACES, or None."""
    if os.path.dirname(name):
        return name if os.access(name, os.X_OK) else None
    places = os.environ.get("PATH", os.defpath).split(os.pathsep)
    for place in (*places, *SYSTEM_PLACES):
        path = os.path.join(place or ".", name)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return None


def account_name() -> str:
    """The caller's name, or its number where it has none."""
    import pwd

    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def detect() -> IdMap:
    """The ids that the caller can have: all of the host's, a subordinate range, or only its own."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        return IdMap("host")
    name = account_name()
    subuids = _subordinate("/etc/subuid", name, uid)
    subgids = _subordinate("/etc/subgid", name, uid)
    if subuids and subgids and all(map(find_program, HELPERS)):
        return IdMap("range", _ranges(uid, subuids), _ranges(gid, subgids))
    return IdMap("single", _ranges(uid, []), _ranges(gid, []))


def granted_to_root() -> IdMap:
    """The ids of a user namespace that the host's root makes: those of `containers`, as podman has it, or its own.

    Raises HostError where /etc/subuid and /etc/subgid grant none.
    """
    for owner in ("containers", "root"):
        subuids = _subordinate("/etc/subuid", owner, 0)
        subgids = _subordinate("/etc/subgid", owner, 0)
        if subuids and subgids:
            return IdMap("range", _joined(subuids), _joined(subgids))
    from tweed_shim.errors import HostError

    raise HostError(
        "--userns has no ids to use: neither 'containers' nor 'root' is in /etc/subuid and /etc/subgid; grant some "
        "with: echo containers:2147483647:2147483648 | tee -a /etc/subuid /etc/subgid"
    )


def to_host(ranges: tuple[IdRange, ...], number: int) -> int:
    """What the host calls an id of a user namespace. Raises ValueError for one that the namespace does not have."""
    for each in ranges:
        if each.inside <= number < each.inside + each.length:
            return each.outside + number - each.inside
    raise ValueError(f"the id {number} is not mapped")


def _write_single(pid: int, idmap: IdMap) -> None:
    # An unprivileged process may map its own gid only after giving up setgroups(2): user_namespaces(7).
    for name, text in (
        ("setgroups", "deny"),
        ("gid_map", str(idmap.gids[0])),
        ("uid_map", str(idmap.uids[0])),
    ):
        fd = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


def write_maps(pid: int, idmap: IdMap) -> None:
    """Give the process `pid`, which has just made its user namespace, the ids of `idmap`.

    Raises OSError, naming the helper, where the host does not grant them.
    """
    if idmap.kind == "host":
        return
    if idmap.kind == "single":
        _write_single(pid, idmap)
        return
    children = []
    for name, ranges in zip(HELPERS, (idmap.uids, idmap.gids), strict=True):
        program = find_program(name)
        if program is None:
            raise FileNotFoundError(2, "no such program", name)
        arguments = [program, str(pid), *" ".join(map(str, ranges)).split()]
        children.append((name, os.posix_spawn(program, arguments, os.environ)))
    codes = [(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])) for name, child in children]
    for name, code in codes:
        if code < 0:
            raise InterruptedError(4, f"was ended by signal {-code}", name)
        if code != 0:
            raise PermissionError(1, "refused the ids that /etc/subuid and /etc/subgid grant", name)


def run_mapped(
    idmap: IdMap, arguments: list[str], *, cwd: str | None = None, watch: Callable[[int], None] | None = None
) -> tuple[int, bytes]:
    """Run a command as root of a user namespace with these ids; without a namespace where there are none.

    The command is killed when the calling thread ends before it. `watch` is called with its process id many times a
    second; what it raises ends the command. Returns its exit code (-N where signal N ended it) and what it wrote to
    stderr and stdout together.
    """
    import subprocess

    program = find_program(arguments[0]) or arguments[0]
    with subprocess.Popen(
        [sys.executable, "-I", "-S", BECOMING, idmap.kind, program, *arguments[1:]],
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
    ) as process:
        assert process.stdin is not None  # noqa: S101 - tells the type checker what PIPE means
        assert process.stdout is not None  # noqa: S101 - likewise
        try:
            ready = process.stdout.read(1)
            if ready == b".":
                write_maps(process.pid, idmap)
                process.stdin.write(b".")
            process.stdin.close()
            output = b"".join(_heard(process.pid, process.stdout.fileno(), watch))
        except BaseException:
            process.kill()
            raise
    return process.returncode, output if ready == b"." else ready + output


def _heard(pid: int, output: int, watch: Callable[[int], None] | None) -> Iterator[bytes]:
    """What a process writes, until its end; it is watched while it does so."""
    import select

    poll = select.poll()
    poll.register(output, select.POLLIN)
    while True:
        ready = poll.poll(LOOK_AGAIN if watch else None)
        if watch:
            watch(pid)
        if ready:
            data = os.read(output, READ)
            if not data:
                return
            yield data


def _remove(path: str, parent: int | None = None, depth: int = 0) -> None:
    """Remove a directory with all below it. parent: an open directory that a relative path begins at.

    A container that outlives a killed shim for a moment may put a link in the place of a directory meanwhile. So each
    directory is entered by O_NOFOLLOW, and what is in it is removed by its descriptor. Raises OSError, and
    RecursionError where the tree is too deep to hold one descriptor for each level.
    """
    if depth > DEEPEST:
        raise RecursionError(path)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        with os.scandir(fd) as listing:
            entries = list(listing)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _remove(entry.name, fd, depth + 1)
            else:
                os.unlink(entry.name, dir_fd=fd)
    finally:
        os.close(fd)
    os.rmdir(path, dir_fd=parent)


def remove_tree(idmap: IdMap, path: str) -> None:
    """Remove a directory and all below it, whichever of the mapped ids the files belong to.

    Raises HostError where something of it stays.
    """
    try:
        _remove(path)
    except (OSError, RecursionError):
        # Of another id, without permissions, or nested deeper than a path can be long.
        code, output = run_mapped(idmap, ["rm", "-rf", "--", path])
        if code != 0:
            from tweed_shim.errors import HostError

            said = output.decode(errors="replace").strip().partition("\n")[0]
            if code < 0:
                raise HostError(
                    f"{path} is not removed: rm was ended by signal {-code}; run it again"
                ) from None
            raise HostError(f"{path} cannot be removed ({said}); remove it as the user who made it") from None


def _usage(path: str) -> int:
    blocks: dict[tuple[int, int], int] = {}
    places = [path]
    while places:
        place = places.pop()
        about = os.lstat(place)
        blocks[about.st_dev, about.st_ino] = about.st_blocks
        if stat.S_ISDIR(about.st_mode):
            places += [entry.path for entry in os.scandir(place)]
    return sum(blocks.values()) * BLOCK


def disk_usage(idmap: IdMap, path: str) -> int:
    """The room on disk in bytes that a file, or a directory with all below it, takes; hard links count once."""
    try:
        return _usage(path)
    except OSError:
        # Of another id and without permissions, or nested deeper than a path can be long.
        _, output = run_mapped(idmap, ["du", "-sk", "--", path])
        lines = output.split(b"\n")
        total = next((line.split()[0] for line in reversed(lines) if line[:1].isdigit()), b"0")
        return int(total) << 10

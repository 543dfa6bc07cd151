"""Which user and group ids a run has, and how a user namespace gets them (user_namespaces(7)).

The host's root works without a user namespace. All others get one. A user with a subordinate range (subuid(5),
newuidmap(1)) has the ids 0 to N in it, 0 being the user. Root in another's namespace, and root without CAP_SYS_ADMIN
or the like, have the ids that they have outside of it. Without either, only 0 is mapped, and every file belongs to the
caller.
"""

import os
import stat
from collections.abc import Callable

from tweed_shim import option_names, privileges
from tweed_shim.children import Child
from tweed_shim.letters import decimal
from tweed_shim.records import Record

DEEPEST = 100  # directories in directories that are removed without the help of rm
READ = 64 << 10
BLOCK = 512  # the unit of st_blocks: stat(2)
# Where the tools of a system live.
SYSTEM_PLACES = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")
MAPS = {"newuidmap": "uid_map", "newgidmap": "gid_map"}
HELPERS = tuple(MAPS)
# What it takes to make namespaces, to bring up the loopback of one, and to take capabilities from a container.
OF_HOST_ROOT = (privileges.SYS_ADMIN, privileges.NET_ADMIN, privileges.SETPCAP)
OWN_MAPS = ("/proc/self/uid_map", "/proc/self/gid_map")
# One less than there are: runc and crun take a namespace that has all for the host's own, where they may make devices.
MOST_IDS = 4294967294


class NamespaceError(OSError):
    """No user namespace could be made, or it could not be given its ids (then `is_map` is true)."""

    def __init__(self, number: int, reason: str, name: str | None = None, *, is_map: bool = False) -> None:
        super().__init__(number, reason, name)
        self.is_map = is_map


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

    kind: `host` (the host's root, no namespace), `range` (subordinate ids), `inherited` (all ids that root of another
    user namespace has itself) or `single` (the caller's id alone).
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
        (field[0], start, count)
        for field in fields
        if len(field) == 3
        and (start := decimal(field[1])) is not None
        and (count := decimal(field[2])) is not None
    ]


def _subordinate(path: str, owner: str, owner_id: int) -> list[tuple[int, int]]:
    """The (start, count) ranges that are granted to a user, by name or by number. path: /etc/subuid or /etc/subgid."""
    from tweed_shim import subids

    if subids.service() != "files" and (program := find_program("getsubids")):
        return subids.ask(program, owner, groups=path == "/etc/subgid")
    return [(start, count) for user, start, count in grants(path) if user in (owner, str(owner_id))]


def _usable(granted: list[tuple[int, int]], own: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The granted ranges that lie in one of `own`: only an id of the caller's own namespace can be mapped."""
    return [
        (start, count)
        for start, count in granted
        if any(first <= start and start + count <= first + length for first, length in own)
    ]


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
    """The ids that the caller can have: all of the host's, those of its own namespace, a range, or only its own.

    Raises HostError where /proc is not mounted.
    """
    uid, gid = os.geteuid(), os.getegid()
    try:
        if uid == 0:
            return _of_root(gid)
        own_uids, own_gids = map(privileges.id_ranges, OWN_MAPS)
    except FileNotFoundError as error:
        from tweed_shim.errors import HostError

        raise HostError(
            f"{error.filename} does not exist, so /proc is not mounted; mount it: mount -t proc proc /proc"
        ) from error
    name = account_name()
    subuids = _usable(_subordinate("/etc/subuid", name, uid), own_uids)
    subgids = _usable(_subordinate("/etc/subgid", name, uid), own_gids)
    if subuids and subgids and all(map(find_program, HELPERS)):
        return IdMap("range", _ranges(uid, subuids), _ranges(gid, subgids))
    return IdMap("single", _ranges(uid, []), _ranges(gid, []))


def _of_root(gid: int) -> IdMap:
    """The ids of uid 0: the host's where it can do without a user namespace, else those of a new one."""
    held = privileges.own()
    if held.initial and held.have(*OF_HOST_ROOT):
        return IdMap("host")
    # To map more than one's own id takes both, and to map the id 0 takes CAP_SETFCAP: user_namespaces(7).
    if held.have(privileges.SETUID, privileges.SETGID, privileges.SETFCAP):
        uids, gids = (
            tuple(IdRange(first, first, min(count, MOST_IDS)) for first, count in privileges.id_ranges(path))
            for path in OWN_MAPS
        )
        if sum(each.length for each in uids) > 1 and sum(each.length for each in gids) > 1:
            return IdMap("inherited", uids, gids)
    return IdMap("single", _ranges(0, []), _ranges(gid, []))


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
        f"{option_names.bare('--userns')} has no ids to use: neither 'containers' nor 'root' is in /etc/subuid and "
        "/etc/subgid; grant some with: echo containers:2147483647:2147483648 | tee -a /etc/subuid /etc/subgid"
    )


def to_host(ranges: tuple[IdRange, ...], number: int) -> int:
    """What the host calls an id of a user namespace. Raises ValueError for one that the namespace does not have."""
    for each in ranges:
        if each.inside <= number < each.inside + each.length:
            return each.outside + number - each.inside
    raise ValueError(f"the id {number} is not mapped")


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _lines(ranges: tuple[IdRange, ...]) -> str:
    """The content of a uid_map or gid_map, which the kernel takes in one write(2) only."""
    return "".join(f"{each}\n" for each in ranges)


def write_maps(pid: int, idmap: IdMap) -> None:
    """Give the process `pid`, which has just made its user namespace, the ids of `idmap`.

    Raises OSError, naming the program or the file, where the host does not grant them.
    """
    if idmap.kind == "host":
        return
    if idmap.kind == "range":
        _call_helpers(pid, idmap)
        return
    if idmap.kind == "single":
        # An unprivileged process may map its own gid only after giving up setgroups(2): user_namespaces(7).
        _write(f"/proc/{pid}/setgroups", "deny")
    _write(f"/proc/{pid}/gid_map", _lines(idmap.gids))
    _write(f"/proc/{pid}/uid_map", _lines(idmap.uids))


def _call_helpers(pid: int, idmap: IdMap) -> None:
    """Have newuidmap(1) and newgidmap(1) write the maps. Raises OSError with the first thing that they complain of."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        complaints, write = stack.enter_context(Child()).pipe()
        children = []
        for name, ranges in zip(HELPERS, (idmap.uids, idmap.gids), strict=True):
            program = find_program(name)
            if program is None:
                raise FileNotFoundError(2, "no such program", name)
            child = stack.enter_context(Child())
            arguments = [program, str(pid), *" ".join(map(str, ranges)).split()]
            child.spawn(arguments, os.environ, files={2: write.fileno()})
            children.append((name, child))
        codes = [(name, child.wait()) for name, child in children]
        os.set_blocking(complaints.fileno(), False)
        for name, code in codes:
            # What cannot be known from a status that was taken away is known from the map.
            code = int(not _is_mapped(pid, MAPS[name])) if code is None else code
            if code < 0:
                raise InterruptedError(4, f"was ended by signal {-code}", name)
            if code != 0:
                reason = _complaint(complaints.fileno()) or "refused the ids of /etc/subuid and /etc/subgid"
                raise PermissionError(1, reason, name)


def _complaint(read: int) -> str:
    """The first line in a pipe, without the name of the program that wrote it; nothing where it is empty."""
    try:
        text = os.read(read, READ).decode(errors="replace")
    except BlockingIOError:
        return ""
    return text.partition("\n")[0].partition(": ")[2].strip()


def _is_mapped(pid: int, name: str) -> bool:
    """Whether the user namespace of a process has been given ids; its map can be written once only."""
    with open(f"/proc/{pid}/{name}", "rb") as file:
        return bool(file.read())


def run_mapped(
    idmap: IdMap, arguments: list[str], *, cwd: str | None = None, watch: Callable[[int], None] | None = None
) -> tuple[int, bytes]:
    """Run a command as root of a user namespace with these ids; without a namespace where there are none.

    The command is killed when the calling thread ends before it. `watch` is called with its process id many times a
    second; what it raises ends the command. Returns its exit code (-N where signal N ended it) and what it wrote to
    stderr and stdout together. Raises NamespaceError, and HostError where nobody knows how it ended.
    """
    from tweed_shim import subprocesses

    program = find_program(arguments[0]) or arguments[0]
    command = subprocesses.Command(
        [program, *arguments[1:]],
        cwd=cwd or "",
        stderr=subprocesses.OUTPUT,
        kind=idmap.kind,
        map_ids=lambda pid: _map_child(pid, idmap),
        watch=watch,
    )
    try:
        ended = subprocesses.run(command)
    except OSError as error:
        if error.filename != program:
            raise
        return subprocesses.FAILED, f"{program}: {error.strerror}\n".encode()
    if not ended.begun and idmap.kind != "host":
        # becoming.py says why, and ends.
        reason = ended.output.decode(errors="replace").strip().rpartition(": ")[2]
        raise NamespaceError(1, reason or "it ended before it began")
    return ended.code, ended.output


def _map_child(pid: int, idmap: IdMap) -> None:
    try:
        write_maps(pid, idmap)
    except InterruptedError:
        # A helper that was killed says nothing of the ids.
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise NamespaceError(error.errno or 1, reason, error.filename, is_map=True) from error


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

"""Find the user and group ids that a run can have, and map them into user namespaces (user_namespaces(7)).

The host's root works without a user namespace. All others get one. A user with a subordinate range (subuid(5),
newuidmap(1)) has the ids 0 to N in it, 0 being the user. Root in another's namespace, and root without CAP_SYS_ADMIN
or the like, have the ids that they have outside of it. Without either, only 0 is mapped, and every file belongs to the
caller.
"""

import os
from collections.abc import Callable

from tweed_shim.base import files, option_names, privileges
from tweed_shim.base.records import Record
from tweed_shim.base.text import decimal
from tweed_shim.host.children import Child
from tweed_shim.host.programs import find_program

READ = 64 << 10
MAPS = {"newuidmap": "uid_map", "newgidmap": "gid_map"}
HELPERS = tuple(MAPS)
# What it takes to make namespaces, to bring up the loopback of one, and to take capabilities from a container.
OF_HOST_ROOT = (privileges.SYS_ADMIN, privileges.NET_ADMIN, privileges.SETPCAP)
OWN_MAPS = ("/proc/self/uid_map", "/proc/self/gid_map")
# One id less than all: runc and crun take a namespace with all ids for the host's own, where they may create devices.
MOST_IDS = 4294967294


class NamespaceError(OSError):
    """A user namespace could not be created, or its ids could not be mapped (then `is_map` is true)."""

    def __init__(self, number: int, reason: str, name: str | None = None, *, is_map: bool = False) -> None:
        super().__init__(number, reason, name)
        self.is_map = is_map


class IdRange(Record):
    """`length` ids: `inside`, `inside` + 1, ... of the namespace are `outside`, `outside` + 1, ... of the host."""

    inside: int
    outside: int
    length: int

    def __str__(self) -> str:
        """Return the range in the format of newuidmap(1) and /proc/PID/uid_map."""
        return f"{self.inside} {self.outside} {self.length}"


class IdMap(Record):
    """The ids of a user namespace; `uids` and `gids` are empty where no namespace is created.

    kind: `host` (the host's root, no namespace), `range` (subordinate ids), `inherited` (all ids that root of another
    user namespace has itself) or `single` (the caller's id alone).
    """

    kind: str
    uids: tuple[IdRange, ...] = ()
    gids: tuple[IdRange, ...] = ()


def grants(path: str) -> list[tuple[str, int, int]]:
    """Read a file like /etc/subuid (subuid(5)): the name or number of a user, the start and the count of its ids."""
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
    """Return the (start, count) ranges that `path` (/etc/subuid or /etc/subgid) grants to a user."""
    from tweed_shim.host import subids

    if subids.service() != "files" and (program := find_program("getsubids")):
        return subids.ask(program, owner, groups=path == "/etc/subgid")
    return [(start, count) for user, start, count in grants(path) if user in (owner, str(owner_id))]


def _usable(granted: list[tuple[int, int]], own: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the granted ranges that lie in one of `own`: only an id of the caller's own namespace can be mapped."""
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


def account_name() -> str:
    """Return the caller's name, or its number where it has none."""
    import pwd

    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def detect() -> IdMap:
    """Return the ids that the caller can have: all of the host's, those of its own namespace, a range, or only its own.

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
    """Return the ids of uid 0: the host's where it can do without a user namespace, else those of a new one."""
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
    """Return the ids for a user namespace of the host's root: those of `containers`, as in podman, or of root.

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
    """Return the host's id for an id of a user namespace. Raises ValueError for one that is not mapped."""
    for each in ranges:
        if each.inside <= number < each.inside + each.length:
            return each.outside + number - each.inside
    raise ValueError(f"the id {number} is not mapped")


def _lines(ranges: tuple[IdRange, ...]) -> str:
    """Return the content of a uid_map or gid_map, which the kernel takes in one write(2) only."""
    return "".join(f"{each}\n" for each in ranges)


def write_maps(pid: int, idmap: IdMap) -> None:
    """Give the process `pid`, which has just created its user namespace, the ids of `idmap`.

    Raises OSError, naming the program or the file, where the host does not grant them.
    """
    if idmap.kind == "host":
        return
    if idmap.kind == "range":
        _call_helpers(pid, idmap)
        return
    if idmap.kind == "single":
        # An unprivileged process may map its own gid only after giving up setgroups(2): user_namespaces(7).
        files.write_kernel_file(f"/proc/{pid}/setgroups", "deny")
    files.write_kernel_file(f"/proc/{pid}/gid_map", _lines(idmap.gids))
    files.write_kernel_file(f"/proc/{pid}/uid_map", _lines(idmap.uids))


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
    """Return the first line in a pipe, without the name of the program that wrote it; nothing where it is empty."""
    try:
        text = os.read(read, READ).decode(errors="replace")
    except BlockingIOError:
        return ""
    return text.partition("\n")[0].partition(": ")[2].strip()


def _is_mapped(pid: int, name: str) -> bool:
    """Tell whether the user namespace of a process has been given ids; its map can be written once only."""
    with open(f"/proc/{pid}/{name}", "rb") as file:
        return bool(file.read())


def run_mapped(
    idmap: IdMap, arguments: list[str], *, cwd: str | None = None, watch: Callable[[int], None] | None = None
) -> tuple[int, bytes]:
    """Run a command as root of a user namespace with these ids; without a namespace where there are none.

    The command is killed when the calling thread ends before it. `watch` is called with its process id many times a
    second; what it raises ends the command. Returns its exit code (-N where signal N ended it) and what it wrote to
    stderr and stdout together. Raises NamespaceError, and HostError where its exit status is unknown.
    """
    from tweed_shim.host import subprocesses

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
        # host/userns_exec.py says why, and ends.
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

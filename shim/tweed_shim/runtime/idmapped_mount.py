"""Show a directory tree with other ids: an id-mapped mount (mount_setattr(2)) of the tree, on top of itself.

Where the host's root asks for a user namespace, the store belongs to ids that this namespace does not have. Process 1
of the sandbox starts this as a script: `python -I -S idmapped_mount.py PATH UIDS GIDS`. In its mounts, and nowhere
else, a file of id N then shows as a file of the host's id that the namespace maps N to. That holds for the image's tree
and for the directories that the container shares with the store, in one step and without a copy. What the container
writes to them is stored under the id that it has inside, so that runs with and without the namespace can share a cloud.

The mount is put on the first directory on the way to PATH that other users may not search: the container's root is
another user of the host, and could not reach what is below. The script stands alone, on the standard library.
"""

import ctypes
import os
import stat
import sys

CLONE_NEWUSER = 0x10000000
SYS_OPEN_TREE, SYS_MOVE_MOUNT, SYS_MOUNT_SETATTR = 428, 429, 442
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
OPEN_TREE_CLONE = 1
MOVE_MOUNT_F_EMPTY_PATH = 4
MOUNT_ATTR_IDMAP = 0x100000

libc = ctypes.CDLL(None, use_errno=True)


class MountAttr(ctypes.Structure):
    """`struct mount_attr` of mount_setattr(2)."""

    _fields_ = [
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


def _call(what: str, number: int, *arguments: object) -> int:
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result: int = libc.syscall(ctypes.c_long(number), *wide)
    if result < 0:
        sys.exit(f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def _user_namespace(uids: str, gids: str) -> int:
    """Return a descriptor of a new user namespace with these lines of uid_map and gid_map. No process is in it."""
    # The child makes the namespace and says so by the first pipe; it ends when the parent closes the second one.
    made_read, made_write = os.pipe()
    end_read, end_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(end_write)
        os.write(made_write, b"." if libc.unshare(CLONE_NEWUSER) == 0 else b"!")
        os.read(end_read, 1)
        os._exit(0)
    if os.read(made_read, 1) != b".":
        sys.exit("a user namespace cannot be made")
    for name, text in (("uid_map", uids), ("gid_map", gids)):
        with open(f"/proc/{pid}/{name}", "w", encoding="utf-8") as file:
            file.write(text)
    namespace = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    os.close(end_write)
    os.waitpid(pid, 0)
    return namespace


def _first_private(path: str) -> str:
    """Return the first directory on the way to a path that other users may not search, else the path."""
    at = "/"
    for part in path.strip("/").split("/"):
        at = os.path.join(at, part)
        if not os.stat(at).st_mode & stat.S_IXOTH:
            break
    return at


def main(path: str, uids: str, gids: str) -> None:
    """Put an id-mapped mount on the first private directory on the way to `path`. uids, gids: as in uid_map."""
    target = os.fsencode(_first_private(path))
    namespace = _user_namespace(uids, gids)
    tree = _call("open_tree", SYS_OPEN_TREE, AT_FDCWD, target, OPEN_TREE_CLONE | AT_RECURSIVE | os.O_CLOEXEC)
    shift = MountAttr(attr_set=MOUNT_ATTR_IDMAP, userns_fd=namespace)
    flags = AT_EMPTY_PATH | AT_RECURSIVE
    _call("mount_setattr", SYS_MOUNT_SETATTR, tree, b"", flags, ctypes.byref(shift), ctypes.sizeof(shift))
    _call("move_mount", SYS_MOVE_MOUNT, tree, b"", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH)


if __name__ == "__main__":
    main(*sys.argv[1:])

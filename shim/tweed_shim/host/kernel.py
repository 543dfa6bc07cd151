"""System calls for which Python has no function: mounts, namespaces, prctl(2).

The processes of a sandbox (runtime/sandbox.py) make them, so nothing but the standard library may enter here.
"""

import errno
import os
import sys

from tweed_shim.base.lean import ctypes, signal

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG = 1
# mount_setattr(2). glibc before 2.36 has no function for it; its number is the same on every machine but alpha.
SYS_MOUNT_SETATTR = 442
# openat2(2), likewise.
SYS_OPENAT2 = 437
RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH = 4, 8
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """Call mount(2), with its arguments in its order. Raises OSError, naming the target."""
    _check(
        _libc.mount(
            os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), os.fsencode(data)
        ),
        target,
    )


def set_mount_attributes(target: str, attributes: int) -> None:
    """Set MOUNT_ATTR_* on a mount and on every mount below it: mount_setattr(2). Raises OSError, naming the target.

    Linux has the call since 5.12. Older kernels answer ENOSYS; the seccomp filter of an outer container may answer
    ENOSYS or EPERM.
    """
    # struct mount_attr: attr_set, attr_clr, propagation, userns_fd.
    changes = b"".join(field.to_bytes(8, sys.byteorder) for field in (attributes, 0, 0, 0))
    result = _libc.syscall(
        ctypes.c_long(SYS_MOUNT_SETATTR),
        ctypes.c_long(AT_FDCWD),
        os.fsencode(target),
        ctypes.c_long(AT_RECURSIVE),
        changes,
        ctypes.c_ulong(len(changes)),
    )
    _check(result, target)


def open_beneath(directory: int, path: str) -> int:
    """Open a directory by a path below an open one that no link is part of: openat2(2). Raises OSError.

    Where the kernel has no such call (before 5.6), or the seccomp filter of an outer container refuses it, only the
    last name of the path is known to be no link.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    # struct open_how: flags, mode, resolve.
    how = b"".join(
        field.to_bytes(8, sys.byteorder) for field in (flags, 0, RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH)
    )
    fd: int = _libc.syscall(
        ctypes.c_long(SYS_OPENAT2),
        ctypes.c_long(directory),
        os.fsencode(path),
        how,
        ctypes.c_ulong(len(how)),
    )
    if fd >= 0:
        return fd
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EPERM):
        return os.open(path, flags, dir_fd=directory)
    raise OSError(number, os.strerror(number), path)


def unshare(flags: int) -> None:
    """Call unshare(2). Raises OSError."""
    _check(_libc.unshare(flags), "unshare")


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the thread that started it ends: prctl(2), PR_SET_PDEATHSIG.

    The kernel forgets it when the process changes its credentials.
    """
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL), "PR_SET_PDEATHSIG")


def has_one_thread() -> bool:
    """Tell whether this process has one thread. A fork of one with more can copy a lock that is never released."""
    return len(os.listdir("/proc/self/task")) == 1

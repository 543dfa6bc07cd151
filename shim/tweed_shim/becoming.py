"""The inner half of `idmap.run_mapped`, a script: it makes the user namespace and becomes the command.

It binds its life to its parent's and waits to be mapped. It needs the standard library only, so that `python -I -S` can
start it.
"""

import ctypes
import os
import signal
import sys

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1


def become(kind: str, arguments: list[str]) -> None:
    """Be a command, as root of a namespace unless the kind of ids is `host`."""
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getppid()
    if kind != "host" and libc.unshare(CLONE_NEWUSER) != 0:
        sys.exit(f"cannot make a user namespace: {os.strerror(ctypes.get_errno())}")
    os.write(1, b".")
    if os.read(0, 1) != b".":
        sys.exit("the user namespace was given no ids")
    if kind != "host":
        os.setgid(0)
        os.setuid(0)
    # A change of ids would make the kernel forget it: prctl(2).
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("whoever wanted this has ended already")
    # What is unpacked is for all users of an image, however private the caller's own files are.
    os.umask(0o022)
    try:
        os.execv(arguments[0], arguments)  # noqa: S606 - becoming the command is the purpose; no shell is wanted
    except OSError as error:
        sys.exit(f"{arguments[0]}: {error.strerror}")


if __name__ == "__main__":
    become(sys.argv[1], sys.argv[2:])

"""The program between the shim and a command (host/subprocesses.py), a script: it reports how the command ended.

The status of a child can be lost to the program that embeds the shim; the status of a child of this program cannot.
Besides, it makes the user namespace that the command runs in, waits to be given its ids, and binds the command's
life to its own, and its own to that of the shim's thread. SIGTERM makes it kill the command. It needs the standard
library only, so that `python -I -S` can start it.

It is called with the kind of the ids (userns.IdMap, or PLAIN for none), a directory, or nothing, to work in, and the
command, whose program is looked up on PATH. On descriptor REPORT it writes lines: `ready`, then `pid N`, then
`ended WAIT_STATUS` or `failed ERRNO`. On descriptor GO it reads a byte once its ids are mapped.
"""

import ctypes
import os
import signal
import sys

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
REPORT, GO = 3, 4
PLAIN = "plain"
# Python ignores them, and a command is not to find them ignored.
IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)

libc = ctypes.CDLL(None, use_errno=True)


def _report(word: str, number: int | str = "") -> None:
    os.write(REPORT, f"{word} {number}\n".encode())


def _die_with(parent: int) -> None:
    # A change of ids would make the kernel forget it: prctl(2).
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the program that started this has ended already")


def _make_namespace(kind: str) -> None:
    """Make the user namespace that the kind of ids asks for, and wait until it has its ids."""
    own = kind not in (PLAIN, "host")
    if own and libc.unshare(CLONE_NEWUSER) != 0:
        sys.exit(f"cannot make a user namespace: {os.strerror(ctypes.get_errno())}")
    _report("ready")
    if os.read(GO, 1) != b".":
        sys.exit("the user namespace was given no ids")
    if own:
        os.setgid(0)
        os.setuid(0)
    if kind != PLAIN:
        # What is unpacked is for all users of an image, however private the caller's own files are.
        os.umask(0o022)


def _execute(arguments: list[str], parent: int, interrupt: object) -> None:
    try:
        _die_with(parent)
        for number in (*IGNORED, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN if interrupt == signal.SIG_IGN else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvp(arguments[0], arguments)  # noqa: S606 - becoming the command is the purpose; no shell is wanted
    except OSError as error:
        _report("failed", error.errno or 0)
    finally:
        os._exit(127)


def supervise(arguments: list[str]) -> None:
    """Run a command to its end and report its wait status."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    interrupt = signal.getsignal(signal.SIGINT)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _execute(arguments, parent, interrupt)
    # What a terminal sends the command, it sends here too; the command is to say what comes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL))
    _report("pid", child)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
    os.close(0)
    # The reader of the command's output waits for the end of the command, not for the end of this program.
    for fd in (1, 2):
        os.close(fd)
    _report("ended", os.waitpid(child, 0)[1])


def main(kind: str, directory: str, *arguments: str) -> None:
    """Be the program."""
    parent = os.getppid()
    for fd in (REPORT, GO):
        os.set_inheritable(fd, False)
    try:
        if directory:
            os.chdir(directory)
    except OSError as error:
        sys.exit(f"{directory}: {error.strerror}")
    _make_namespace(kind)
    _die_with(parent)
    supervise(list(arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])

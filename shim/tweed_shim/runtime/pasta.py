"""A network namespace that pasta(1) connects to the outside, held for as long as this program runs.

Process 1 of a sandbox starts it as a script (`python -I -S pasta.py PASTA SCRATCH`), so that it, and pasta, end
with the sandbox. When it prints `ready`, `SCRATCH/resolv.conf` is there and the namespace is connected: TCP, UDP
and DNS get out, nothing gets in, and the host's loopback addresses are not reachable. Else it says why not.

pasta refuses to work as the host's root. There the namespace, and pasta, belong to the user nobody.
"""

import ctypes
import os
import signal
import sys

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
PR_SET_DUMPABLE = 4
NOBODY = 65534
# What process 1 of the sandbox is told where pasta was killed; the number of the signal follows.
KILLED = "killed by signal "
HOST_IDS = "0 0 4294967295"
# Link-local, so that no host of the outside can have it; pasta answers there with the host's own resolver.
RESOLVER = "169.254.1.1"
OPTIONS = (
    "--quiet",
    "--config-net",
    "--no-map-gw",
    *("--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none"),
    *("--dns-forward", RESOLVER),
)

libc = ctypes.CDLL(None, use_errno=True)


def _is_host_root() -> bool:
    with open("/proc/self/uid_map", encoding="utf-8") as file:
        return os.geteuid() == 0 and " ".join(file.read().split()) == HOST_IDS


def _write_resolver(path: str) -> None:
    """The host's search domains and options, and our name server."""
    lines = [f"nameserver {RESOLVER}"]
    try:
        with open("/etc/resolv.conf", encoding="utf-8", errors="replace") as file:
            lines += [line.rstrip() for line in file if line.startswith(("search", "domain", "options"))]
    except FileNotFoundError:
        pass
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join([*lines, ""]))
    os.chmod(path, 0o644)


def _become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _make_namespace(*, as_nobody: bool) -> None:
    if as_nobody:
        _become_nobody()
        # A change of user made this process undumpable, and pasta, another of that user, could not look at it.
        libc.prctl(PR_SET_DUMPABLE, 1)
    uid, gid = os.getuid(), os.getgid()
    # In a user namespace of its own: pasta, which gives its privileges up, may enter one that its user owns.
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        sys.exit(f"cannot make a network namespace: {os.strerror(ctypes.get_errno())}")
    for name, text in (("setgroups", "deny"), ("gid_map", f"0 {gid} 1"), ("uid_map", f"0 {uid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="utf-8") as file:
            file.write(text)


def _connect(program: str, holder: int) -> None:
    """Run pasta, which goes on in the background once the namespace is connected."""
    import subprocess

    done = subprocess.run(
        [program, *OPTIONS, str(holder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode < 0:
        sys.exit(f"{KILLED}{-done.returncode}")
    if done.returncode != 0:
        # It complains of a host without syslog, too; its reason is the last line.
        lines = [line for line in done.stderr.decode(errors="replace").splitlines() if "syslog" not in line]
        sys.exit(lines[-1] if lines else f"pasta ended with {done.returncode}")


def main(program: str, scratch: str) -> None:
    """Make the namespace, have it connected, say so, and stay."""
    as_nobody = _is_host_root()
    _write_resolver(os.path.join(scratch, "resolv.conf"))
    made, make = os.pipe()
    holder = os.fork()
    if holder == 0:
        _make_namespace(as_nobody=as_nobody)
        os.write(make, b".")
        os.close(make)
        os.close(made)
        while True:
            signal.pause()
    os.close(make)
    if os.read(made, 1) != b".":
        sys.exit("the network namespace could not be made")
    os.symlink(f"/proc/{holder}/ns/net", os.path.join(scratch, "netns"))
    if as_nobody:
        _become_nobody()
    _connect(program, holder)
    os.write(1, b"ready\n")
    os.close(1)
    os.waitpid(holder, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])

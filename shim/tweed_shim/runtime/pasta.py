"""Hold a network namespace that pasta(1) connects to the outside, for as long as this program runs.

Process 1 of a sandbox starts it as a script: `python -I -S pasta.py PASTA BUNDLE`. So it, and pasta, end with the
sandbox. When it prints `ready`, `BUNDLE/resolv.conf` exists and the namespace `BUNDLE/netns` is connected: TCP, UDP and
DNS get out, nothing gets in, and the host's loopback addresses are not reachable. Otherwise it prints why not.

pasta refuses to work as the host's root. There the namespace, and pasta, belong to the user nobody. The script stands
alone, on the standard library.
"""

import ctypes
import os
import signal
import sys

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
PR_SET_DUMPABLE = 4
NOBODY = 65534
# Printed where pasta was killed; the number of the signal follows. sandbox.py reads it.
KILLED = "killed by signal "
HOST_IDS = "0 0 4294967295"
# A link-local address, which no other host can have; pasta forwards queries for it to the host's own resolver.
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
    """Write a resolv.conf(5): our name server, and the search domains and options of the host."""
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
        # A change of user makes a process undumpable (prctl(2), PR_SET_DUMPABLE), and then pasta, which runs as the
        # same user, may not open its namespaces in /proc.
        libc.prctl(PR_SET_DUMPABLE, 1)
    uid, gid = os.getuid(), os.getgid()
    # pasta gives up its privileges, and may then enter only a network namespace of a user namespace that its user owns.
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        sys.exit(f"cannot make a network namespace: {os.strerror(ctypes.get_errno())}")
    for name, text in (("setgroups", "deny"), ("gid_map", f"0 {gid} 1"), ("uid_map", f"0 {uid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="utf-8") as file:
            file.write(text)


def _connect(program: str, holder: int) -> None:
    """Run pasta, which goes on in the background once the namespace is connected."""
    import subprocess

    result = subprocess.run(
        [program, *OPTIONS, str(holder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if result.returncode < 0:
        sys.exit(f"{KILLED}{-result.returncode}")
    if result.returncode != 0:
        # It also complains about a host without syslog. The reason is the last line.
        lines = [line for line in result.stderr.decode(errors="replace").splitlines() if "syslog" not in line]
        sys.exit(lines[-1] if lines else f"pasta ended with {result.returncode}")


def main(program: str, bundle: str) -> None:
    """Make the namespace, have pasta connect it, print `ready`, and stay."""
    as_nobody = _is_host_root()
    _write_resolver(os.path.join(bundle, "resolv.conf"))
    read, write = os.pipe()
    holder = os.fork()
    if holder == 0:
        _make_namespace(as_nobody=as_nobody)
        os.write(write, b".")
        os.close(write)
        os.close(read)
        while True:
            signal.pause()
    os.close(write)
    if os.read(read, 1) != b".":
        sys.exit("the network namespace could not be made")
    os.symlink(f"/proc/{holder}/ns/net", os.path.join(bundle, "netns"))
    if as_nobody:
        _become_nobody()
    _connect(program, holder)
    os.write(1, b"ready\n")
    os.close(1)
    os.waitpid(holder, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])

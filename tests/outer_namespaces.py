"""What a host makes of root: user namespaces and containers that the program is started in."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Makes a user namespace with the ids of its first argument, as root of the host can, and becomes the rest of them.
ENTER = """
import ctypes, os, sys
maps, program = sys.argv[1], sys.argv[2:]
made, make = os.pipe()
pid = os.getpid()
writer = os.fork()
if writer == 0:
    os.close(make)
    os.read(made, 1)
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{pid}/{name}", "w") as file:
            file.write(maps)
    os._exit(0)
assert ctypes.CDLL(None).unshare(0x10000000) == 0
os.close(made)
os.close(make)
assert os.waitpid(writer, 0)[1] == 0
os.setgid(0)
os.setuid(0)
os.execvp(program[0], program)
"""
# What docker gives a container: moby's oci/caps/defaults.go.
DOCKER_CAPABILITIES = """
    CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL
    AUDIT_WRITE
"""
HOST_DIRECTORIES = ("usr", "etc", "opt", "nix")


def entering(maps: str) -> tuple[str, ...]:
    """A command that makes a user namespace with these lines of uid_map and gid_map, and starts what follows it."""
    return (os.path.realpath(sys.executable), "-I", "-S", "-c", ENTER, maps)


def _mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def _mounts(shared: str, cgroup: str) -> list[dict[str, Any]]:
    kernel = [
        _mount("/proc", "proc", "proc"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "mode=755"),
        _mount("/dev/pts", "devpts", "devpts", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        _mount("/dev/shm", "tmpfs", "shm", "mode=1777"),
        _mount("/dev/mqueue", "mqueue", "mqueue"),
        _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", cgroup),
        _mount("/tmp", "tmpfs", "tmpfs", "mode=1777"),
        _mount("/run", "tmpfs", "tmpfs", "mode=755"),
    ]
    host = [
        _mount(f"/{name}", "bind", f"/{name}", "rbind", "ro")
        for name in HOST_DIRECTORIES
        if os.path.isdir(f"/{name}")
    ]
    return [*kernel, *host, _mount(shared, "bind", shared, "rbind", "rw")]


@contextmanager
def container(
    directory: str,
    shared: str,
    *,
    capabilities: str = DOCKER_CAPABILITIES,
    cgroup: str = "ro",
    seccomp: dict[str, Any] | None = None,
    masked: tuple[str, ...] = (),
) -> Iterator[tuple[str, ...]]:
    """A command that starts what follows it in a container with the host's programs, as docker makes one for root.

    directory: an empty one, for the bundle. shared: a directory of the host that is there, too, and can be written.
    cgroup: how the control groups are mounted. seccomp: the container's filter (docker: seccomp=unconfined has none).
    """
    rootfs = os.path.join(directory, "rootfs")
    os.mkdir(rootfs)
    os.makedirs(os.path.join(rootfs, "var/lib"))
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), os.path.join(rootfs, name))
    held = [f"CAP_{name}" for name in capabilities.split()]
    config = {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": [],
            "env": [],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), held),
        },
        "root": {"path": rootfs},
        "mounts": _mounts(shared, cgroup),
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")],
            "maskedPaths": list(masked),
            **({"seccomp": seccomp} if seccomp else {}),
        },
    }
    with open(os.path.join(directory, "plain.json"), "w", encoding="ascii") as file:
        json.dump(config, file)
    yield (os.path.realpath(sys.executable), "-I", "-S", "-c", START, directory)


# Runs what follows its first argument, with its own variables, in a container of the bundle in the first argument.
START = """
import json, os, sys
bundle, arguments = sys.argv[1], sys.argv[2:]
with open(bundle + "/plain.json") as file:
    config = json.load(file)
config["process"]["args"] = arguments
config["process"]["env"] = [f"{name}={value}" for name, value in os.environ.items()]
config["process"]["cwd"] = os.getcwd()
with open(bundle + "/config.json", "w") as file:
    json.dump(config, file)
state = bundle + "/state"
os.execvp("runc", ["runc", "--root", state, "run", "--bundle", bundle, f"tweed-shim-outer-{os.getpid()}"])
"""

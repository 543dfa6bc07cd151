"""Trials of what the host allows: namespaces, mounts and a whole run, in a directory that is removed afterwards.

Version numbers and switches do not tell: kernels are patched, containers are nested, and seccomp, LSMs, sysctls and
capabilities each have a policy. So a probe does the thing itself in namespaces of its own, with unshare(1) and
mount(8), or with the code that runs images.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from tweed_shim.base import files
from tweed_shim.errors import ShimError
from tweed_shim.host import owned_trees, programs, userns, workdirs
from tweed_shim.host.userns import IdMap
from tweed_shim.runtime import container, security_options
from tweed_shim.runtime.console import Console
from tweed_shim.runtime.container import RunContext
from tweed_shim.runtime.host import Host
from tweed_shim.runtime.options import ContainerOptions
from tweed_shim.runtime.request import Mount, Process, Request

SECONDS = 30.0
# The directories of the host's programs and libraries; usually some of them are links into another.
PROGRAM_DIRECTORIES = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "nix", "gnu")
MOUNT_POINTS = ("proc", "sys", "dev", "tmp", "run", "etc", "var", "tweed")
LOWER = ("lower", "lower/directory", "lower/directory/inner")
OVERLAY = "mount -t overlay -o lowerdir=lower,upperdir={0}upper,workdir={0}work{1} overlay merged && {2}"
# Replacing a directory of the image takes an extended attribute on the upper layer. Before Linux 6.6 a tmpfs in a user
# namespace does not have these, although the mount succeeds.
CHANGE = ": > merged/file && rm -rf merged/directory && mkdir merged/directory"


def nearest(path: str) -> str:
    """Return a path if it exists, else the closest directory above it that exists."""
    while path and not os.path.lexists(path):
        path = os.path.dirname(path)
    return path or "/"


@contextmanager
def directory(root: str, ids: IdMap) -> Iterator[str]:
    """Yield a temporary directory on the file system of a store, which need not exist; create no store.

    Raises OSError where the directory cannot be created.
    """
    if os.path.isdir(workdirs.tmp_directory(root)):
        # Like other work in ROOT/tmp: what a crash leaves there is swept.
        with workdirs.directory(workdirs.tmp_directory(root), ids) as path:
            yield path
        return
    path = tempfile.mkdtemp(prefix="tweed-shim-doctor-", dir=nearest(root))
    try:
        yield path
    finally:
        owned_trees.remove_tree(ids, path)


def mapped(ids: IdMap) -> str:
    """Try a process with these ids; return the fault, or an empty text."""
    return _try(ids, ["true"], "/")


def namespaces(ids: IdMap) -> str:
    """Try to create mount and process namespaces; return the fault, or an empty text."""
    return _in_namespaces(ids, "true", "/")


def fresh_proc(ids: IdMap, directory: str) -> str:
    """Try to mount a /proc in a process namespace; return the fault, or an empty text."""
    return _in_namespaces(ids, "mount -t proc proc .", _create(directory, "proc"))


def overlay_on_tmpfs(ids: IdMap, directory: str) -> str:
    """Try an overlay whose writable layer is in memory; return the fault, or an empty text."""
    prepare = "mount -t tmpfs tmpfs memory && mkdir memory/upper memory/work && "
    here = _create(directory, "tmpfs", *LOWER, "merged", "memory")
    return _in_namespaces(ids, prepare + OVERLAY.format("memory/", _overlay_option(ids), CHANGE), here)


def overlay_on_disk(ids: IdMap, directory: str) -> str:
    """Try an overlay whose writable layer is on the disk of `directory`; return the fault, or an empty text."""
    here = _create(directory, "disk", *LOWER, "merged", "upper", "work")
    return _in_namespaces(ids, OVERLAY.format("", _overlay_option(ids), CHANGE), here)


def _overlay_option(ids: IdMap) -> str:
    return ",userxattr" if ids.kind != "host" else ""


def _create(directory: str, name: str, *inner: str) -> str:
    path = os.path.join(directory, name)
    for each in (path, *(os.path.join(path, name) for name in inner)):
        files.make_private(each)
    return path


def _in_namespaces(ids: IdMap, script: str, cwd: str) -> str:
    # Private, so that no mount propagates to the host.
    path = ":".join(("$PATH", *programs.SYSTEM_DIRECTORIES))
    script = f"PATH={path}; mount --make-rprivate / && {script}"
    return _try(ids, ["unshare", "-m", "-p", "-f", programs.find_program("sh") or "sh", "-c", script], cwd)


def _try(ids: IdMap, command: list[str], cwd: str) -> str:
    program = programs.find_program(command[0])
    if program is None:
        return f"the program {command[0]} is not installed"
    try:
        code, output = userns.run_mapped(ids, [program, *command[1:]], cwd=cwd)
    except OSError as error:
        return f"{error.filename or command[0]}: {error.strerror}"
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    return "" if code == 0 else (lines[0] if lines else f"{command[0]} ended with code {code}")


def run(directory: str, runtime: str, host: Host, *, userns: bool = False) -> tuple[str, list[str]]:
    """Run a program of the host in a container; return the fault, or an empty text, and the warnings.

    userns: whether root's container has a user namespace of its own.
    """
    program = programs.find_program("true")
    if program is None:
        return "the program true is not installed", []
    warnings: list[str] = []
    name = files.unique_name("doctor-")
    rootfs = os.path.join(directory, name)
    options = ContainerOptions(network="none", timeout=SECONDS, userns=userns)
    request = Request(
        rootfs,
        Process((os.path.realpath(program),), ("PATH=/usr/bin:/bin",), 0, 0, (), "/"),
        options,
        security_options.resolve(options, host),
        home="/tweed/home",
        mounts=_mount_host_programs(rootfs),
    )
    log = os.path.join(directory, "log")
    context = RunContext(name, directory, runtime, host, log, console=Console(warn=warnings.append))
    try:
        outcome = container.run(request, context)
    except ShimError as error:
        return str(error), warnings
    except OSError as error:
        return f"{error.filename or directory}: {error.strerror}", warnings
    if outcome.code != 0:
        return f"the program '{program}' ended with code {outcome.code} in a container", warnings
    return "", warnings


def _mount_host_programs(rootfs: str) -> tuple[Mount, ...]:
    """Create a root file system for the host's programs, and return the mounts that bring them into it."""
    os.mkdir(rootfs, 0o755)
    for name in MOUNT_POINTS:
        os.mkdir(os.path.join(rootfs, name), 0o755)
    mounts = []
    for name in PROGRAM_DIRECTORIES:
        source, target = f"/{name}", os.path.join(rootfs, name)
        if os.path.islink(source):
            os.symlink(os.readlink(source), target)
        elif os.path.isdir(source):
            os.mkdir(target, 0o755)
            mounts.append(Mount(source, source))
    return tuple(mounts)

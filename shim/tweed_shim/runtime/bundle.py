"""Write an OCI bundle of a request: a directory that an OCI runtime starts without the shim, for a look with its tools.

The bundle holds all that it needs: `config.json`, a copy of the image's root in `rootfs`, and a directory for each one
that the container shares with the store, named like its destination (`/tweed/in` is `in`): a copy of what is recorded,
or empty. So a run by hand changes neither an image nor a state of the store. The files have the ids that the container
needs. Other users than the host's root have no sandbox around the runtime, so config.json names a user namespace.
"""

import json
import os
from typing import Any

from tweed_shim.base import files
from tweed_shim.base.option_names import bare, option
from tweed_shim.base.records import Record, replace
from tweed_shim.errors import ConfigError, HostError
from tweed_shim.host import output_directory, userns
from tweed_shim.host.tree_walk import LEAVE, OPEN, walk
from tweed_shim.host.userns import IdMap
from tweed_shim.runtime import container, hosts_file, spec
from tweed_shim.runtime.host import Host
from tweed_shim.runtime.request import Mount, Request
from tweed_shim.runtime.security_options import SecurityOptions

NAME = "bundle"


class _Part(Record):
    """A directory of the bundle. source: what it is a copy of, "" for nothing. for_user: it is the container user's."""

    name: str
    source: str = ""
    for_user: bool = False


def check(path: str, security: SecurityOptions, network: str) -> None:
    """Check that a bundle can be written to a path, before anything is pulled. Raises ConfigError.

    network: of the container.
    """
    output_directory.check(path)
    if network == "pasta":
        raise ConfigError(
            f"a bundle cannot have {option('--network', 'pasta')}, which the shim connects for the length of a run; "
            f"use {option('--network', 'host')} or none"
        )
    if security.userns is not None:
        _check_reachable(os.path.dirname(os.path.realpath(path)))


def _check_reachable(path: str) -> None:
    """Raise ConfigError where the root of a user namespace, another user of the host, cannot reach a directory."""
    while path != "/":
        if not os.stat(path).st_mode & 0o001:
            raise ConfigError(
                f"the container's root is another user of this host ({bare('--userns')}), who may not enter {path}; "
                "name a directory for the bundle that everybody can reach"
            )
        path = os.path.dirname(path)


def write(directory: str, request: Request, host: Host) -> list[str]:
    """Write the bundle of a request to an empty directory, and return the options of the runtime to start it with.

    directory: its absolute path. The sources of the request's mounts are copied; one of "" stands for an empty
    directory. Raises HostError where something cannot be copied; the caller removes what has been written then.
    """
    shift = request.security.userns
    try:
        shared = [(_part(mount), mount) for mount in request.mounts if not os.path.isfile(mount.source)]
        parts = [_Part("rootfs", request.rootfs), *(part for part, _ in shared)]
        if request.home:
            parts.append(_Part("home", for_user=True))
        for part in parts:
            copy(host.ids, part.source, os.path.join(directory, part.name))
        parts += _write_inputs(directory, request)
        owned = [os.path.join(directory, part.name) for part in parts if part.for_user]
        if owned and host.ids.kind != "single":
            user = f"{request.process.uid}:{request.process.gid}"
            _run(host.ids, ["chown", "-hR", user, "--", *owned])
        # Without its network a container has no use for the names of the host's.
        hosts_file.write(
            os.path.join(directory, "hosts"),
            "" if request.options.network == "none" else hosts_file.HOST_FILE,
        )
        config = _config(directory, request, host)
        # The last file, so that what a kill leaves is no bundle.
        files.write_whole(
            os.path.join(directory, "config.json"),
            json.dumps(config, indent=2).encode() + b"\n",
            durable=False,
        )
        if shift is not None:
            _shift(directory, shift)
    except OSError as error:
        raise HostError(
            f"{directory} cannot be written ({error.strerror}); make room, or name another directory"
        ) from error
    return _runtime_options(directory, request, host)


def _part(mount: Mount) -> _Part:
    return _Part(os.path.basename(mount.destination), mount.source, mount.writable or mount.for_user)


def copy(ids: IdMap, source: str, target: str) -> None:
    """Copy a directory with its owners; make an empty one where there is no source."""
    if source:
        _run(ids, ["cp", "-aT", "--reflink=auto", "--", source, target])
    else:
        os.mkdir(target, files.PRIVATE_DIR)


def _run(ids: IdMap, command: list[str]) -> None:
    """Run a command as the root of a user namespace with these ids. Raises HostError with what it complains of."""
    code, output = userns.run_mapped(ids, command)
    if code != 0:
        fault = output.decode(errors="replace").strip().partition("\n")[0] or f"signal {-code}"
        raise HostError(f"the bundle cannot be written ({fault}); make room, or name another directory")


def _write_inputs(directory: str, request: Request) -> list[_Part]:
    """Write the files of the request's input volume, and return the part that they are in."""
    if request.inputs is None:
        return []
    part = _Part(os.path.basename(request.inputs.destination), for_user=True)
    os.mkdir(os.path.join(directory, part.name), files.PRIVATE_DIR)
    for name, content in request.inputs.files.items():
        files.write_whole(os.path.join(directory, part.name, name), content, durable=False)
    return [part]


def _config(directory: str, request: Request, host: Host) -> dict[str, Any]:
    """Return config.json of a bundle that is written but for it."""
    in_bundle = [_in_bundle(directory, mount) for mount in request.mounts]
    if request.home:
        in_bundle.append(Mount(os.path.join(directory, "home"), request.home, writable=True))
    if request.inputs:
        name = os.path.basename(request.inputs.destination)
        in_bundle.append(Mount(os.path.join(directory, name), request.inputs.destination))
    security = request.security
    if host.ids.kind != "host":
        # The shim's sandbox has this namespace around the runtime.
        security = replace(security, userns=host.ids)
    moved = replace(request, mounts=tuple(in_bundle), home="", inputs=None, security=security)
    config = spec.generate(moved, host, bundle=directory, name=NAME)
    for mount in config["mounts"]:
        if mount["source"] == os.path.join(directory, "sys"):
            # Process 1 of a sandbox makes a read-only copy there. Here the runtime has to do that: runc since 1.1.
            mount["source"] = "/sys"
            mount["options"].append("rro")
        if mount["type"] == "bind" and security.userns is not None:
            more = container.locked_options(mount["source"])
            mount["options"] += [each for each in more if each not in mount["options"]]
    if os.geteuid() != 0:
        # runc refuses to start with any where its caller is not root (libcontainer, setupUser).
        config["process"]["user"].pop("additionalGids")
    if host.ids.kind == "host":
        # Two containers of the bundle would share the group. The runtime makes one for each, by its name.
        config["linux"].pop("cgroupsPath", None)
    return config


def _in_bundle(directory: str, mount: Mount) -> Mount:
    """Return a mount with its source in the bundle. A file of the host (resolv.conf) stays where it is."""
    if os.path.isfile(mount.source):
        return mount
    return replace(mount, source=os.path.join(directory, _part(mount).name), for_user=False)


def _runtime_options(directory: str, request: Request, host: Host) -> list[str]:
    """Return the options of the runtime that a start by hand needs."""
    options: list[str] = []
    if host.ids.kind == "host" and not spec.has_cgroup(request.options.limits, host):
        options += ["--rootless", "true"]
    if host.ids.kind != "host" and not os.environ.get("XDG_RUNTIME_DIR"):
        # The runtime's own default is a directory of the host's root.
        options += ["--root", os.path.join(directory, "state")]
    return options


def _shift(directory: str, ids: IdMap) -> None:
    """Give a bundle of the host's root to the ids of a user namespace, in whose numbers its owners are."""
    top = os.open(directory, OPEN)
    try:
        for step, parent, name, status in walk(top):
            if step != LEAVE:
                os.chown(name, *_shifted(status, ids), dir_fd=parent, follow_symlinks=False)
        os.fchown(top, *_shifted(os.fstat(top), ids))
    finally:
        os.close(top)


def _shifted(status: os.stat_result, ids: IdMap) -> tuple[int, int]:
    try:
        return userns.to_host(ids.uids, status.st_uid), userns.to_host(ids.gids, status.st_gid)
    except ValueError as error:
        raise HostError(
            f"the image has files of an id that {bare('--userns')} has none for ({error}); grant more ids in "
            "/etc/subuid and /etc/subgid"
        ) from error

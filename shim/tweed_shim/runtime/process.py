"""Resolve the process that an image asks for: its arguments, variables, user and working directory."""

import os
from collections.abc import Iterable, Mapping

from tweed_shim.errors import ImageError
from tweed_shim.host.userns import IdMap, IdRange
from tweed_shim.runtime import executables, users
from tweed_shim.runtime.request import Mount, Process

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _environment(image: Iterable[str], variables: Mapping[str, str]) -> dict[str, str]:
    pairs = (entry.partition("=") for entry in image)
    return {"PATH": DEFAULT_PATH, **{name: value for name, _, value in pairs if name}, **variables}


def _is_mapped(number: int, ranges: tuple[IdRange, ...]) -> bool:
    return any(each.inside <= number < each.inside + each.length for each in ranges)


def _user(rootfs: str, user: str, ids: IdMap, *, what: str) -> users.User:
    """Return the user of an image with the ids that it has here. Raises ImageError for ids that are not granted."""
    resolved = users.resolve(rootfs, user)
    if ids.kind == "single":
        # The runtime needs user 0 in the container, and there is only one id: 0 inside, the caller's outside.
        return users.User(0, 0, (), resolved.home)
    if ids.kind in ("range", "inherited"):
        outside = [each for each in (resolved.uid,) if not _is_mapped(each, ids.uids)]
        outside += [each for each in (resolved.gid, *resolved.groups) if not _is_mapped(each, ids.gids)]
        if outside:
            granted = (
                "/etc/subuid and /etc/subgid grant" if ids.kind == "range" else "this user namespace has"
            )
            raise ImageError(
                f"{what} runs as id {outside[0]}, which is beyond the ids that {granted}; "
                "have a longer range granted, or run it as the host's root"
            )
    return resolved


def resolve(
    rootfs: str,
    *,
    what: str,
    entrypoint: tuple[str, ...],
    arguments: tuple[str, ...],
    env: tuple[str, ...],
    user: str,
    cwd: str,
    variables: Mapping[str, str],
    ids: IdMap,
    is_checked: bool = True,
) -> Process:
    """Return the process of an image with this configuration, called with `arguments` and `variables`.

    what: the image's name, for messages. is_checked: whether the entrypoint has to be in the image. Raises ImageError
    where the image has no entrypoint, or one that cannot be executed, or a user that it does not know.
    """
    if not entrypoint:
        raise ImageError(
            f"{what} has no entrypoint, so it cannot be called with an operation; build it with an Entrypoint"
        )
    environment = _environment(env, variables)
    directory = os.path.join("/", cwd)
    if is_checked:
        try:
            executables.find_executable(
                rootfs, entrypoint[0], cwd=directory, path_variable=environment["PATH"]
            )
        except ImageError as error:
            raise ImageError(f"{what}: {error}") from None
    resolved = _user(rootfs, user, ids, what=what)
    return Process(
        args=(*entrypoint, *arguments),
        env=tuple(f"{name}={value}" for name, value in environment.items()),
        uid=resolved.uid,
        gid=resolved.gid,
        groups=resolved.groups,
        cwd=directory,
    )


def network_mounts(network: str) -> tuple[Mount, ...]:
    """Return the mounts for the host's resolver: its resolv.conf for the host's network, nothing for another."""
    paths = ("/etc/resolv.conf",) if network == "host" else ()
    return tuple(Mount(os.path.realpath(path), path) for path in paths if os.path.isfile(path))

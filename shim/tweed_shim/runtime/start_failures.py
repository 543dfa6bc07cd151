"""Explain why a container could not be started, and name a remedy. Only a run that failed imports this module."""

import errno

from tweed_shim.base import sizes
from tweed_shim.base.option_names import bare, option
from tweed_shim.base.option_values import shown
from tweed_shim.errors import HostError, ImageError, ShimError
from tweed_shim.host import faults, resource_limits
from tweed_shim.runtime import sandbox, working_directory
from tweed_shim.runtime.host import Host
from tweed_shim.runtime.request import BUNDLE_SIZE, Request
from tweed_shim.runtime.sandbox_process import StartError


def explain(failure: StartError, request: Request, host: Host) -> ShimError:
    """Return the error that tells the user why a sandbox could not start the container, and what to do about it."""
    if failure.stage == "open files":
        return HostError(resource_limits.open_files())
    if failure.stage == "memory":
        return HostError(resource_limits.memory())
    if failure.stage == "image":
        return ImageError(str(failure))
    if failure.stage == "start":
        return _of_runtime(str(failure), request)
    if failure.stage == "shared":
        return _of_shared_directory(failure)
    remedy = _remedies(failure, host).get(failure.stage, "run it again with -v, and report it if it stays")
    return HostError(f"the run's sandbox could not be made ({failure.stage}: {failure}); {remedy}")


def _of_runtime(reason: str, request: Request) -> ShimError:
    """Return the error for a runtime that gave this reason why it could not start the container."""
    if reason == sandbox.NO_REASON and resource_limits.has_memory_limit():
        # A Go program reserves more addresses than it will use, and a crash of its own is not in its log.
        return HostError(f"the runtime gave no reason why it ended, so perhaps {resource_limits.memory()}")
    if words := faults.of_runtime(reason):
        return HostError(f"the runtime could not start a container ({reason}): {words}")
    if working_directory.is_blamed(reason, request.process.cwd):
        return ImageError(
            f"the working directory {shown(request.process.cwd)} of the image cannot be used ({reason}); "
            f"{working_directory.REMEDY}"
        )
    return ImageError(f"the runtime could not start '{request.process.args[0]}' of the image: {reason}")


def _of_shared_directory(failure: StartError) -> ShimError:
    """Return the error for a directory of another user of an image that could not be shared with the container."""
    if failure.number in (errno.ENOSPC, errno.ENOMEM):
        return HostError(
            "a directory that another user of an image wrote has to be copied into memory for this image's user, and "
            f"does not fit into the {sizes.show(BUNDLE_SIZE)} that a run has there ({failure}); have less written to "
            "it, or run both images as the same user"
        )
    return HostError(
        f"a directory that another user of an image wrote cannot be given to this image's user ({failure}); run it as "
        "the user, and with the subordinate ids, that the other image was run with"
    )


def _remedies(failure: StartError, host: Host) -> dict[str, str]:
    """Return what the user can do, by the stage of the sandbox that failed."""
    return {
        "ids": faults.ids_remedy() if failure.stage == "ids" else "",
        "namespace": faults.namespace_remedy(host_root=host.ids.kind == "host"),
        "proc": faults.MASKED_PROC,
        "shift": f"{bare('--userns')} needs Linux 5.19 or newer, and a store on a file system that can show other ids, "
        "such as ext4, xfs or btrfs",
        "overlay": f"no writable layer can be made there: leave {bare('--scratch')} out, or name a directory on ext4, "
        "xfs or btrfs",
        "sys": f"give the container a network of its own with {option('--network', 'none')} or pasta",
        "bundle": f"free some memory, or name a directory on disk with {option('--scratch')}",
        "killed": "run it again",
        "terminal": "give the command a stdin that is no terminal",
        "network": "pasta needs a /dev/net/tun that everybody may open (mode 0666) and a default route",
        "keep": "free some disk space and run it again",
    }

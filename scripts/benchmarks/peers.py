"""The other programs that do what the shim does, each told to do the same."""

import json
import os
import resource
import shutil
from collections.abc import Callable, Mapping

from benchmarks.figures import say, timed
from benchmarks.setting import Failed, Place
from installed import SYSTEM_PATH

# Fewer than podman asks for, which it fails to get where it may not raise its limits.
PROCESSES = 4096


def installed(name: str) -> bool:
    """Whether a peer is there; says so where it is not."""
    found = shutil.which(name, path=SYSTEM_PATH) is not None
    if not found:
        say(f"{name} is not installed and is left out")
    return found


def works(name: str, first: Callable[[], object]) -> bool:
    """Whether a peer can do what it is measured at; says so, with the peer's own words, where it cannot."""
    try:
        first()
    except Failed as error:
        say(f"{name} does not work here and is left out: {error}")
        return False
    return True


class Runc:
    """`runc run` of a program, with what `runc spec` writes, and without a network.

    mounts: what is to be writable. bundle: the name of a directory to be made.
    """

    def __init__(
        self,
        place: Place,
        rootfs: str,
        args: tuple[str, ...],
        *,
        mounts: Mapping[str, str] | None = None,
        bundle: str = "bundle",
    ) -> None:
        bundle = os.path.join(place.directory, bundle)
        place.run(["mkdir", bundle])
        place.run(["runc", "spec", "--bundle", bundle, *(["--rootless"] if place.account.uid else [])])
        path = os.path.join(bundle, "config.json")
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        config["process"].update(terminal=False, args=args)
        config["root"].update(path=rootfs, readonly=True)
        for target, source in (mounts or {}).items():
            config["mounts"].append({"destination": target, "source": source, "options": ["rbind"]})
        namespaces = config["linux"]["namespaces"]
        # A rootless one would share the host's network, and spare the time that a namespace takes.
        if {"type": "network"} not in namespaces:
            namespaces.append({"type": "network"})
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)
        name = f"bench-{os.path.basename(place.directory)}"
        self.command = [
            "runc",
            "--root",
            os.path.join(place.directory, "runc"),
            "run",
            "--bundle",
            bundle,
            name,
        ]
        self._place = place

    def run(self) -> None:
        """Run the program once."""
        self._place.run(self.command)


class Podman:
    """`podman pull` and `podman run --rm` with a storage of its own; no network in either contender's container.

    Limits are what the host allows, as podman's own defaults fail where they cannot be raised.
    """

    def __init__(self, place: Place, reference: str) -> None:
        own = [f"--{name}={os.path.join(place.directory, name[0])}" for name in ("root", "tmpdir")]
        runroot = f"--runroot={os.path.join(place.directory, 'n')}"
        self._podman = ["podman", *own, runroot, "--storage-driver=overlay", "--cgroup-manager=cgroupfs"]
        self._reference = reference
        self.place = place

    def pull(self) -> None:
        """Have the image."""
        self.place.run([*self._podman, "pull", "--quiet", "--tls-verify=false", self._reference])

    def command(self, operation: str) -> list[str]:
        """The command line of one run."""
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return [
            *self._podman,
            "run",
            "--rm",
            "--pull=never",
            "--network=none",
            f"--ulimit=nofile={files}:{files}",
            f"--ulimit=nproc={PROCESSES}:{PROCESSES}",
            self._reference,
            operation,
        ]

    def run(self, operation: str) -> None:
        """Run an operation once."""
        self.place.run(self.command(operation))

    def end(self) -> None:
        """End what podman leaves running."""
        if self.place.account.uid:
            self.place.run([*self._podman, "system", "migrate"])


class Docker:
    """`docker pull` and `docker run --rm` by the daemon that runs here; no network in the container."""

    def __init__(self, place: Place, reference: str) -> None:
        self._reference = reference
        self.place = place

    def answers(self) -> bool:
        """Whether the account may use a daemon; says so where it may not."""
        with self.place.start(["docker", "version"]) as process:
            if process.wait() != 0:
                say("no docker daemon answers, it is left out")
        return process.returncode == 0

    def pull(self) -> None:
        """Have the image."""
        self.place.run(["docker", "pull", "--quiet", self._reference])

    def command(self, operation: str) -> list[str]:
        """The command line of one run."""
        return ["docker", "run", "--rm", "--network=none", self._reference, operation]

    def run(self, operation: str) -> None:
        """Run an operation once."""
        self.place.run(self.command(operation))

    def end(self) -> None:
        """Remove the image."""
        self.place.run(["docker", "image", "rm", self._reference])


def copy_and_unpack(place: Place, reference: str) -> float:
    """How long `skopeo copy` and then `umoci unpack` take."""
    layout = os.path.join(place.directory, "layout")
    rootless = ["--rootless"] if place.account.uid else []
    copy = ["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false"]

    def both() -> None:
        place.run([*copy, f"docker://{reference}", f"oci:{layout}:image"])
        place.run(["umoci", "unpack", *rootless, "--image", f"{layout}:image", f"{place.directory}/bundle"])

    return timed(both)()

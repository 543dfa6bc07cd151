"""Attacks what one image does for a cloud: pull, unpack, configure, setup, teardown and rm (see chaos.py)."""

import json
import os
import random
import shutil
from collections.abc import Iterator

from chaos import Aim, Call, Target, Victim, push_images
from examinations import CloudExamination
from installed import SYSTEM_PATH, Shim
from script_images import METADATA
from servers import RegistryServer
from small_disks import Disk

WRITTEN = 30  # files in each configuration

# Everything that configure and setup write holds one value, so that a mix of two would show.
ENTRYPOINT = f"""#!/bin/sh
set -e
echo work > /written
fill() {{ for number in $(seq {WRITTEN}); do echo "$1" > "$OUT_CONFIG/$number"; done; }}
case $1 in
metadata) {METADATA} ;;
configure) value=$(cat); fill "$value"; case $value in *stuck*) sleep 1000 ;; esac ;;
check) cat "$IN_CONFIG"/* | sort | uniq -c ;;
setup) value=$(cat /proc/sys/kernel/random/uuid); fill "$value"; echo "VALUE: $value" ;;
teardown) cat "$IN_CONFIG"/* | sort | uniq -c ;;
esac
"""


def push_victims(registry: RegistryServer, directory: str) -> tuple[str, str]:
    """Two images, for what `BackendTarget` has them for, made in an empty directory; returns their references."""
    victim = Victim(ENTRYPOINT)
    used, pulled = push_images(registry, directory, {"used": victim, "pulled": victim})
    return used, pulled


def is_stuck(operation: str) -> bool:
    """Whether an operation never ends by itself, so that nothing but a kill can end what it started."""
    return operation.startswith("stuck ")


class BackendTarget(Target):
    """An image is `used` by its cloud; another is there to be `pulled`."""

    OPERATIONS = (
        "pull",
        "unpack",
        "configure",
        "scratch configure",
        "setup",
        "teardown",
        "rm",
        "stuck unpack",
        "stuck configure",
        "stuck scratch configure",
    )
    ENDING = tuple(name for name in OPERATIONS if not is_stuck(name))

    def __init__(
        self, shim: Shim, images: tuple[str, str], chance: random.Random, disk: Disk | None = None
    ) -> None:
        """images: those of `push_victims`."""
        self._cloud = CloudExamination(shim, WRITTEN)
        super().__init__(shim, self._cloud, chance, disk)
        self._used, self._pulled = images
        self._scratch = os.path.join(os.path.dirname(shim.root), "scratch-of-runs")
        os.mkdir(self._scratch)
        os.chown(self._scratch, shim.account.uid, shim.account.gid)
        self._value = 0
        self._must("exec", self._used, "configure", stdin=self._next_value())
        self._must("exec", self._used, "setup")
        before = set(self._seen.trees())
        self._must("pull", self._pulled)
        [tree] = set(self._seen.trees()) - before
        self._pulled_tree = os.path.join(shim.root, "rootfs", tree)
        self._seen.remember_trees()
        self._stuck_tools = self._make_stuck_tools()

    def examine(self) -> Iterator[str]:
        yield from self._seen.host()
        yield from self._seen.tidy()
        yield from (f"{name} is left in the scratch" for name in os.listdir(self._scratch))

    def _prepare(self, operation: str) -> None:
        if operation == "pull":
            self._must("rm", self._pulled)
        elif operation == "rm":
            self._must("pull", self._pulled)
        elif operation.endswith("unpack"):
            shutil.rmtree(self._pulled_tree)
        elif operation == "teardown" and self._cloud.interaction() is None:
            self._must("exec", self._used, "setup")
        # So that all the directories that are watched are there.
        os.makedirs(os.path.join(self.root, "tmp"), exist_ok=True)

    def _call(self, operation: str) -> Call:
        calls = {
            "pull": Call(("pull", self._pulled)),
            "unpack": Call(("pull", "--pull", "missing", self._pulled)),
            "configure": Call(("exec", self._used, "configure")),
            "scratch configure": Call(("exec", self._used, "configure", "--scratch", self._scratch)),
            "setup": Call(("exec", self._used, "setup", "--replace")),
            "teardown": Call(("exec", self._used, "teardown")),
            "rm": Call(("rm", self._pulled)),
        }
        call = calls[operation.removeprefix("stuck ")]
        if operation.endswith("configure"):
            call = call._replace(stdin=self._next_value("stuck " if is_stuck(operation) else ""))
        return call._replace(env={"PATH": self._stuck_tools}) if operation == "stuck unpack" else call

    def _make_stuck_tools(self) -> str:
        """A PATH on which umoci never ends."""
        directory = os.path.join(os.path.dirname(self.root), "stuck")
        os.mkdir(directory)
        path = os.path.join(directory, "umoci")
        with open(path, "w", encoding="ascii") as file:
            file.write('#!/bin/bash\nexec -a "umoci $*" sleep 1000\n')
        os.chmod(path, 0o755)
        return f"{directory}:{SYSTEM_PATH}"

    def _state(self, operation: str) -> object:
        if operation in ("setup", "teardown"):
            return self._cloud.interaction()
        if operation.endswith("configure"):
            return self._cloud.configuration()
        return len(self._seen.records()), os.path.isdir(self._pulled_tree)

    def _next_value(self, prefix: str = "") -> bytes:
        self._value += 1
        return f'{{"value": "{prefix}{self._value}"}}'.encode()

    def _go_on(self, operation: str) -> Iterator[str]:
        done = self._shim.run("exec", self._used, "check")
        if done.code != 0:
            yield f"check: {done}"
        else:
            yield from self._compare(done.out, self._cloud.configuration(), "check")
        again = {"rm": "pull"}.get(operation, operation.removeprefix("stuck "))
        if again == "teardown" and self._cloud.interaction() is None:
            again = "setup"
        call = self._call(again)
        done = self._shim.run(*call.arguments, stdin=call.stdin)
        if done.code != 0:
            yield f"{again} again: {done}"
        elif call.stdin is not None and json.loads(self._cloud.configuration() or "{}") != json.loads(
            call.stdin
        ):
            yield f"configure again leaves {self._cloud.configuration()!r} where {call.stdin!r} was given"

    def _compare(self, said: bytes, value: str | None, what: str) -> Iterator[str]:
        """said: the words of `uniq -c` about what the image sees."""
        if said.decode().split() != [str(WRITTEN), *(value or "").split()]:
            yield f"{what} sees {said!r} where {value!r} is in force"

    def _directories(self) -> list[str]:
        cloud = os.path.join(self.root, "clouds", "default")
        names = ("", "tmp", "scratch", "runs", "rootfs", "images", "images/references", "images/blobs/sha256")
        return [
            self._scratch,
            *(os.path.join(self.root, name) for name in names),
            *(os.path.join(cloud, name) for name in ("", "config", "interactions", "interactions/default")),
        ]

    def _aim(self, operation: str) -> Aim:
        if is_stuck(operation):
            return Aim(
                self._chance.uniform(0, self._usual_of(operation.removeprefix("stuck ")).seconds * 1.5)
            )
        return super()._aim(operation)

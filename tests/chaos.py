"""Kills the shim with SIGKILL in the middle of its work, and looks from the outside at what that leaves.

`Target` is one account's store under attack. A round prepares an operation, starts it, kills it, examines the
host and the store, has the next operations succeed, and examines the store again, which then has to be tidy.

A kill is aimed in one of three ways: at any instant of the operation's usual length, at the very start, or at one
of the operation's steps: right after the n-th change of a name in one of the store's directories (inotify(7)),
which is where a commit has its weak points.
"""

import hashlib
import json
import os
import random
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from installed import END_SECONDS, Result, Shim, cgroups, describe, mentions, processes, survivors
from layouts import File, Layer, build_layout
from layouts import directory as empty_directory
from script_images import METADATA
from servers import RegistryServer
from watches import Watch

WRITTEN = 30  # files in each configuration
TREE_FILES = 400
LAYER_NOISE = 1 << 20
START_SECONDS = 0.03
NEVER_SECONDS = 60

# Everything that configure and setup write holds one value, so that a mix of two would show.
ENTRYPOINT = f"""#!/bin/sh
fill() {{ for number in $(seq {WRITTEN}); do echo "$1" > "$OUT_CONFIG/$number"; done; }}
case $1 in
metadata) {METADATA} ;;
configure) fill "$(cat)" ;;
check) cat "$IN_CONFIG"/* | sort | uniq -c ;;
setup) value=$(cat /proc/sys/kernel/random/uuid); fill "$value"; echo "VALUE: $value" ;;
teardown) cat "$IN_CONFIG"/* | sort | uniq -c ;;
esac
"""


def build_victim(path: str, seed: int) -> None:
    """An image of several layers, whose download and unpacking take long enough to be hit."""
    noise = random.Random(seed)
    small = {f"data/{number}": File(noise.randbytes(200)) for number in range(TREE_FILES)}
    large = [Layer({f"blob/{number}": File(noise.randbytes(LAYER_NOISE))}) for number in range(3)]
    build_layout(
        path, files={"entrypoint": ENTRYPOINT}, layers=[Layer({"data": empty_directory(), **small}), *large]
    )


def push_victims(registry: RegistryServer, directory: str) -> tuple[str, str]:
    """Two images, for what `Target` has them for, made in an empty directory; returns their references."""
    references = []
    for seed, name in enumerate(("used", "pulled")):
        layout = os.path.join(directory, name)
        build_victim(layout, seed)
        references.append(registry.push(layout, "latest", f"{name}:1"))
    return references[0], references[1]


class Usual(NamedTuple):
    """How an operation goes when nobody disturbs it: its seconds, and its steps (see the module)."""

    seconds: float
    steps: int


class Aim(NamedTuple):
    """When to kill: after `seconds`, or at step `step` where that is not 0."""

    seconds: float
    step: int = 0


class Found(NamedTuple):
    """What a round found. running: the kill came before the operation's end. state: `old` or `new`."""

    running: bool
    state: str
    anomalies: list[str]


class Tally:
    """What the rounds of one kind found, all together."""

    def __init__(self) -> None:
        self.rounds = self.killed = self.old = self.new = 0
        self.anomalies: list[str] = []

    def add(self, found: Found) -> None:
        self.rounds += 1
        self.killed += found.running
        self.old += found.state == "old"
        self.new += found.state == "new"
        self.anomalies += found.anomalies


class Target:
    """The store of one account. An image is `used` by its cloud; another is there to be `pulled`."""

    OPERATIONS = ("pull", "unpack", "configure", "setup", "teardown", "rm")

    def __init__(self, shim: Shim, used: str, pulled: str, chance: random.Random) -> None:
        self._shim = shim
        self._used = used
        self._pulled = pulled
        self._chance = chance
        self._value = 0
        self._must("exec", used, "configure", stdin=self._next_value())
        self._must("exec", used, "setup")
        before = set(self._trees())
        self._must("pull", pulled)
        [tree] = set(self._trees()) - before
        self._pulled_tree = os.path.join(shim.root, "rootfs", tree)
        self._whole = {name: self._tree_state(name) for name in self._trees()}
        self._usual = {name: self._measure(name) for name in self.OPERATIONS}
        self._must("exec", used, "setup")
        self._must("pull", pulled)

    def round(self, operation: str) -> Found:
        """Kill an operation once."""
        self._prepare(operation)
        before = self._state(operation)
        running = self._kill(operation, self._aim(operation))
        anomalies = [f"after the kill: {each}" for each in (*self._examine_host(), *self._examine_store())]
        after = self._state(operation)
        anomalies += [f"next: {each}" for each in self._go_on(operation)]
        anomalies += [f"tidied: {each}" for each in self.examine()]
        kind = f"{operation} as {self._shim.account.kind}"
        return Found(running, "old" if after == before else "new", [f"{kind}: {each}" for each in anomalies])

    def examine(self) -> Iterator[str]:
        """What is wrong with a store, and a host, of which nothing was killed lately."""
        yield from self._examine_host()
        yield from self._examine_tidy()

    def finish(self) -> list[str]:
        """What is wrong when `gc` has done its work."""
        self._must("gc")
        found = list(self.examine())
        for path, _, names in os.walk(self._shim.root):
            found += [f"gc leaves {os.path.join(path, name)}" for name in names if ".new-" in name]
        return [f"at the end, as {self._shim.account.kind}: {each}" for each in found]

    # The operations: what comes before, how they are called, and what tells the old state from the new.

    def _prepare(self, operation: str) -> None:
        if operation == "pull":
            self._must("rm", self._pulled)
        elif operation == "unpack":
            shutil.rmtree(self._pulled_tree)
        elif operation == "teardown" and self._interaction() is None:
            self._must("exec", self._used, "setup")
        # So that all the directories that are watched are there.
        os.makedirs(os.path.join(self._shim.root, "tmp"), exist_ok=True)

    def _command(self, operation: str) -> tuple[tuple[str, ...], bytes | None]:
        commands = {
            "pull": ("pull", self._pulled),
            "unpack": ("pull", "--pull", "missing", self._pulled),
            "configure": ("exec", self._used, "configure"),
            "setup": ("exec", self._used, "setup", "--replace"),
            "teardown": ("exec", self._used, "teardown"),
            "rm": ("rm", self._pulled),
        }
        return commands[operation], self._next_value() if operation == "configure" else None

    def _state(self, operation: str) -> object:
        if operation in ("pull", "unpack", "rm"):
            return len(self._records()), os.path.isdir(self._pulled_tree)
        return self._configuration() if operation == "configure" else self._interaction()

    def _next_value(self) -> bytes:
        self._value += 1
        return b'{"value": "%d"}' % self._value

    def _go_on(self, operation: str) -> Iterator[str]:
        """Do what a user would do next; what fails is an anomaly."""
        done = self._shim.run("exec", self._used, "check")
        if done.code != 0:
            yield f"check: {done}"
        else:
            yield from self._compare(done.out, self._configuration(), "check")
        again = "setup" if operation == "teardown" and self._interaction() is None else operation
        again = "pull" if operation == "rm" else again
        command, stdin = self._command(again)
        done = self._shim.run(*command, stdin=stdin)
        if done.code != 0:
            yield f"{again} again: {done}"
        elif stdin is not None and json.loads(self._configuration() or "{}") != json.loads(stdin):
            yield f"configure again leaves {self._configuration()!r} where {stdin!r} was given"

    def _compare(self, said: bytes, value: str | None, what: str) -> Iterator[str]:
        """said: the words of `uniq -c` about what the image sees."""
        if said.decode().split() != [str(WRITTEN), *(value or "").split()]:
            yield f"{what} sees {said!r} where {value!r} is in force"

    # The attack.

    def _measure(self, operation: str) -> Usual:
        self._prepare(operation)
        command, stdin = self._command(operation)
        with Watch(self._directories()) as watch:
            begun = time.monotonic()
            self._must(*command, stdin=stdin)
            return Usual(time.monotonic() - begun, watch.changes())

    def _directories(self) -> list[str]:
        root = self._shim.root
        cloud = os.path.join(root, "clouds", "default")
        names = ("", "tmp", "scratch", "runs", "rootfs", "images", "images/references", "images/blobs/sha256")
        return [
            *(os.path.join(root, name) for name in names),
            *(os.path.join(cloud, name) for name in ("", "config", "interactions", "interactions/default")),
        ]

    def _aim(self, operation: str) -> Aim:
        usual = self._usual[operation]
        way = self._chance.choice(("any", "any", "start", "step", "step", "step"))
        if way == "start":
            return Aim(self._chance.uniform(0, START_SECONDS))
        if way == "any":
            return Aim(self._chance.uniform(0, usual.seconds * 1.1))
        return Aim(NEVER_SECONDS, self._chance.randint(1, max(1, usual.steps)))

    def _kill(self, operation: str, aim: Aim) -> bool:
        """Whether the operation was under way."""
        command, stdin = self._command(operation)
        with (
            Watch(self._directories()) as watch,
            self._shim.start(*command, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL) as process,
        ):
            if process.stdin is not None and stdin is not None:
                process.stdin.write(stdin)
                process.stdin.close()
            process.stdin = None
            self._await(process.pid, watch, aim)
            process.kill()
            # What the shim started may hold its pipes for a moment; it is examined below.
            return process.wait(NEVER_SECONDS) < 0

    def _await(self, pid: int, watch: Watch, aim: Aim) -> None:
        """Wait for the instant, or for the end of the process where that comes first."""
        deadline = time.monotonic() + aim.seconds
        seen = 0
        end = os.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(end, select.POLLIN)
            if aim.step:
                poll.register(watch.fd, select.POLLIN)
            while (left := deadline - time.monotonic()) > 0:
                if any(fd == end for fd, _ in poll.poll(left * 1000)):
                    return
                seen += watch.changes()
                if aim.step and seen >= aim.step:
                    return
        finally:
            os.close(end)

    def _must(self, *command: str, stdin: bytes | None = None) -> Result:
        done = self._shim.run(*command, stdin=stdin)
        if done.code != 0:
            raise AssertionError(f"{command} fails undisturbed: {done}")
        return done

    # The examination, from the outside.

    def _examine_host(self) -> Iterator[str]:
        root = self._shim.root
        left = survivors(processes(root, self._shim.account))
        yield from (f"process {describe(pid)} is left after {END_SECONDS} s" for pid in left)
        if mentions("/proc/self/mountinfo", os.fsencode(root)):
            yield "a mount is left"
        for group in cgroups(root):
            with open(os.path.join(group, "cgroup.procs"), encoding="ascii") as file:
                if file.read().strip():
                    yield f"a process is left in {group}"

    def _examine_store(self) -> Iterator[str]:
        """What has to hold at any time."""
        yield from self._examine_blobs()
        yield from self._examine_records()
        for name in self._trees():
            if self._tree_state(name) != self._whole.get(name):
                yield f"the tree {name} is not whole"
        for what in (self._configuration, self._interaction):
            if (value := what()) and value.startswith("mixed"):
                yield value
        if self._configuration() is None:
            yield "the cloud's configuration is gone"

    def _examine_tidy(self) -> Iterator[str]:
        """What has to hold besides once the same operation has been done again."""
        yield from self._examine_store()
        root = self._shim.root
        yield from (f"{each} is left" for each in cgroups(root))
        for place in ("tmp", "scratch"):
            yield from (f"{place}/{name} is left" for name in os.listdir(os.path.join(root, place)))
        for path, directories, names in os.walk(os.path.join(root, "clouds")):
            for name in (*directories, *names):
                if name.startswith("draft-") or ".new-" in name:
                    yield f"{os.path.join(path, name)} is left"
            generations = [name for name in directories if name.isdigit()]
            if len(generations) > 1:
                yield f"{path} has the generations {generations}"
        recorded = sorted(record["reference"] for record in self._records())
        indexed = sorted(each["annotations"]["tweed-shim.reference"] for each in self._index())
        if recorded != indexed or recorded != sorted((self._used, self._pulled)):
            yield f"there are records of {recorded}, and the index has {indexed}"

    def _examine_blobs(self) -> Iterator[str]:
        place = os.path.join(self._shim.root, "images", "blobs", "sha256")
        for name in os.listdir(place):
            with open(os.path.join(place, name), "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if ".new-" not in name and digest != name:
                yield f"the blob {name} has the digest {digest}"

    def _examine_records(self) -> Iterator[str]:
        named = [(each["annotations"]["tweed-shim.reference"], each["digest"]) for each in self._index()]
        for record in self._records():
            if (record["reference"], record["digest"]) not in named:
                yield f"the record of {record['reference']} is not in the index"
            manifest = self._blob(record["digest"])
            for blob in (manifest["config"], *manifest["layers"]):
                if not os.path.exists(self._blob_path(blob["digest"])):
                    yield f"the blob {blob['digest']} of a recorded image is missing"

    def _blob_path(self, digest: str) -> str:
        return os.path.join(self._shim.root, "images", "blobs", *digest.split(":"))

    def _blob(self, digest: str) -> Any:
        with open(self._blob_path(digest), "rb") as file:
            return json.load(file)

    def _index(self) -> list[dict[str, Any]]:
        with open(os.path.join(self._shim.root, "images", "index.json"), "rb") as file:
            manifests: list[dict[str, Any]] = json.load(file)["manifests"]
            return manifests

    def _records(self) -> list[dict[str, Any]]:
        place = os.path.join(self._shim.root, "images", "references")
        found = []
        for name in os.listdir(place):
            if name.endswith(".json"):
                with open(os.path.join(place, name), "rb") as file:
                    found.append(json.load(file))
        return found

    def _trees(self) -> list[str]:
        return os.listdir(os.path.join(self._shim.root, "rootfs"))

    def _tree_state(self, name: str) -> object:
        """The kinds, sizes and owners of all files of an unpacked image."""
        directory = os.path.join(self._shim.root, "rootfs", name)
        with open(os.path.join(directory, "image.json"), "rb") as file:
            about = json.load(file)
        found = {}
        for path, directories, names in os.walk(os.path.join(directory, "rootfs")):
            for name in (*directories, *names):
                file_state = os.lstat(os.path.join(path, name))
                found[os.path.relpath(os.path.join(path, name), directory)] = (
                    file_state.st_mode,
                    file_state.st_uid,
                    file_state.st_size if name in names else 0,
                )
        return about, found

    def _configuration(self) -> str | None:
        return self._written("config")

    def _interaction(self) -> str | None:
        value = self._written("interactions/default")
        if value is None or value.startswith("mixed"):
            return value
        place = os.path.join(self._shim.root, "clouds", "default", "interactions", "default", "current")
        with open(os.path.join(place, "record.json"), "rb") as file:
            environment = json.load(file)["environment"]
        return value if environment == {"VALUE": value} else f"mixed: {environment} and files of {value}"

    def _written(self, name: str) -> str | None:
        """The one value of all the files of the generation in force; `mixed` and why where it is not one."""
        place = os.path.join(self._shim.root, "clouds", "default", name, "current")
        if not os.path.lexists(place):
            return None
        values = []
        for file_name in os.listdir(os.path.join(place, "data")):
            with open(os.path.join(place, "data", file_name), encoding="utf-8") as file:
                values.append(file.read().strip())
        if len(values) != WRITTEN or len(set(values)) != 1:
            return f"mixed: {name} has {len(values)} files with the values {sorted(set(values))}"
        return values[0]

"""Kills the shim in the middle of its work, with SIGKILL or more gently, and sees from the outside what that leaves.

`Target` is one account's store under attack. A round prepares an operation, starts it, kills it, examines the
host and the store, has the next operations succeed, and examines the store again, which then has to be tidy.

A kill is aimed in one of three ways: at any instant of the operation's usual length, at the very start, or at one
of the operation's steps: right after the n-th change of a name in one of the store's directories (inotify(7)),
which is where a commit has its weak points.

In place of a kill the disk may be filled at such an instant, where the store is on a small one: the operation then ends
by itself.
"""

import json
import os
import random
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from examinations import Examination
from installed import SYSTEM_PATH, Result, Shim
from layouts import File, Layer, build_layout
from layouts import directory as empty_directory
from script_images import METADATA
from servers import RegistryServer
from small_disks import Disk
from watches import Watch

WRITTEN = 30  # files in each configuration
TREE_FILES = 400
LAYER_NOISE = 1 << 20
START_SECONDS = 0.03
NEVER_SECONDS = 60

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


class Call(NamedTuple):
    """How an operation is called."""

    arguments: tuple[str, ...]
    stdin: bytes | None = None
    env: dict[str, str] | None = None


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


def _ends_well(done: Result, number: signal.Signals) -> bool:
    """Whether a program ends by the signal that it was sent, or had ended; before it is there, Python itself is hit."""
    if b"Traceback" in done.err:
        return b"KeyboardInterrupt" in done.err and b"site-packages" not in done.err
    return done.code in (0, 128 + number, -number)


def is_stuck(operation: str) -> bool:
    """Whether an operation never ends by itself, so that nothing but a kill can end what it started."""
    return operation.startswith("stuck ")


class Target:
    """The store of one account. An image is `used` by its cloud; another is there to be `pulled`."""

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
    # What can be tried on a disk that is filled: it ends by itself.
    ENDING = tuple(name for name in OPERATIONS if not is_stuck(name))

    def __init__(
        self, shim: Shim, used: str, pulled: str, chance: random.Random, disk: Disk | None = None
    ) -> None:
        """disk: the small disk that the store is on, for rounds that fill it."""
        self._disk = disk
        self.root = shim.root
        self._scratch = os.path.join(os.path.dirname(shim.root), "scratch-of-runs")
        os.mkdir(self._scratch)
        os.chown(self._scratch, shim.account.uid, shim.account.gid)
        self._shim = shim
        self._used = used
        self._pulled = pulled
        self._chance = chance
        self._seen = Examination(shim, WRITTEN)
        self._value = 0
        self._must("exec", used, "configure", stdin=self._next_value())
        self._must("exec", used, "setup")
        before = set(self._seen.trees())
        self._must("pull", pulled)
        [tree] = set(self._seen.trees()) - before
        self._pulled_tree = os.path.join(shim.root, "rootfs", tree)
        self._seen.remember_trees()
        self._stuck_tools = self._make_stuck_tools()
        self._usual = {name: self._measure(name) for name in self.OPERATIONS if not is_stuck(name)}
        self._must("exec", used, "setup")
        self._must("pull", pulled)

    def round(self, operation: str, number: signal.Signals = signal.SIGKILL) -> Found:
        """Send an operation a signal once."""
        self._prepare(operation)
        before = self._state(operation)
        done = self._strike(operation, self._aim(operation), lambda process: process.send_signal(number))
        anomalies = [f"after the kill: {each}" for each in (*self._seen.host(), *self._seen.store())]
        if not _ends_well(done, number):
            anomalies.append(f"{number.name}: {done}")
        return self._go_on_after(operation, before, done, anomalies)

    def fill_round(self, operation: str) -> Found:
        """Fill the disk in the middle of an operation once, and relieve it when the operation has ended."""
        assert self._disk is not None
        self._prepare(operation)
        before = self._state(operation)
        try:
            done = self._strike(operation, self._aim(operation), self._disk_filled)
        finally:
            self._disk.relieve()
        anomalies = [f"after the fill: {each}" for each in (*self._seen.host(), *self._seen.store())]
        if b"Traceback" in done.err or done.code < 0 or (done.code and not done.err):
            anomalies.append(f"full disk: {done}")
        return self._go_on_after(operation, before, done, anomalies)

    def _disk_filled(self, _: subprocess.Popen[bytes]) -> None:
        assert self._disk is not None
        self._disk.fill()

    def _go_on_after(self, operation: str, before: object, done: Result, anomalies: list[str]) -> Found:
        running = done.code != 0
        after = self._state(operation)
        anomalies += [f"next: {each}" for each in self._go_on(operation)]
        anomalies += [f"tidied: {each}" for each in self.examine()]
        kind = f"{operation} as {self._shim.account.kind}"
        return Found(running, "old" if after == before else "new", [f"{kind}: {each}" for each in anomalies])

    def examine(self) -> Iterator[str]:
        """What is wrong with a store, and a host, of which nothing was killed lately."""
        yield from self._seen.host()
        yield from self._seen.tidy()
        yield from (f"{name} is left in the scratch" for name in os.listdir(self._scratch))

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
        elif operation.endswith("unpack"):
            shutil.rmtree(self._pulled_tree)
        elif operation == "teardown" and self._seen.interaction() is None:
            self._must("exec", self._used, "setup")
        # So that all the directories that are watched are there.
        os.makedirs(os.path.join(self._shim.root, "tmp"), exist_ok=True)

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
        directory = os.path.join(os.path.dirname(self._shim.root), "stuck")
        os.mkdir(directory)
        path = os.path.join(directory, "umoci")
        with open(path, "w", encoding="ascii") as file:
            file.write('#!/bin/bash\nexec -a "umoci $*" sleep 1000\n')
        os.chmod(path, 0o755)
        return f"{directory}:{SYSTEM_PATH}"

    def _state(self, operation: str) -> object:
        if operation in ("setup", "teardown"):
            return self._seen.interaction()
        if operation.endswith("configure"):
            return self._seen.configuration()
        return len(self._seen.records()), os.path.isdir(self._pulled_tree)

    def _next_value(self, prefix: str = "") -> bytes:
        self._value += 1
        return f'{{"value": "{prefix}{self._value}"}}'.encode()

    def _go_on(self, operation: str) -> Iterator[str]:
        """Do what a user would do next; what fails is an anomaly."""
        done = self._shim.run("exec", self._used, "check")
        if done.code != 0:
            yield f"check: {done}"
        else:
            yield from self._compare(done.out, self._seen.configuration(), "check")
        again = {"rm": "pull"}.get(operation, operation.removeprefix("stuck "))
        if again == "teardown" and self._seen.interaction() is None:
            again = "setup"
        call = self._call(again)
        done = self._shim.run(*call.arguments, stdin=call.stdin)
        if done.code != 0:
            yield f"{again} again: {done}"
        elif call.stdin is not None and json.loads(self._seen.configuration() or "{}") != json.loads(
            call.stdin
        ):
            yield f"configure again leaves {self._seen.configuration()!r} where {call.stdin!r} was given"

    def _compare(self, said: bytes, value: str | None, what: str) -> Iterator[str]:
        """said: the words of `uniq -c` about what the image sees."""
        if said.decode().split() != [str(WRITTEN), *(value or "").split()]:
            yield f"{what} sees {said!r} where {value!r} is in force"

    # The attack.

    def _measure(self, operation: str) -> Usual:
        self._prepare(operation)
        call = self._call(operation)
        with Watch(self._directories()) as watch:
            begun = time.monotonic()
            self._must(*call.arguments, stdin=call.stdin)
            return Usual(time.monotonic() - begun, watch.changes())

    def _directories(self) -> list[str]:
        root = self._shim.root
        cloud = os.path.join(root, "clouds", "default")
        names = ("", "tmp", "scratch", "runs", "rootfs", "images", "images/references", "images/blobs/sha256")
        return [
            self._scratch,
            *(os.path.join(root, name) for name in names),
            *(os.path.join(cloud, name) for name in ("", "config", "interactions", "interactions/default")),
        ]

    def _aim(self, operation: str) -> Aim:
        usual = self._usual[operation.removeprefix("stuck ")]
        if is_stuck(operation):
            return Aim(self._chance.uniform(0, usual.seconds * 1.5))
        way = self._chance.choice(("any", "any", "start", "step", "step", "step"))
        if way == "start":
            return Aim(self._chance.uniform(0, START_SECONDS))
        if way == "any":
            return Aim(self._chance.uniform(0, usual.seconds * 1.1))
        return Aim(NEVER_SECONDS, self._chance.randint(1, max(1, usual.steps)))

    def _strike(self, operation: str, aim: Aim, strike: Callable[[subprocess.Popen[bytes]], None]) -> Result:
        """Start an operation, do something to it at an instant, and wait for its end."""
        call = self._call(operation)
        source = subprocess.PIPE if call.stdin else subprocess.DEVNULL
        with (
            Watch(self._directories()) as watch,
            self._shim.start(*call.arguments, env=call.env, stdin=source) as process,
        ):
            try:
                if process.stdin is not None and call.stdin is not None:
                    process.stdin.write(call.stdin)
                    process.stdin.close()
                    process.stdin = None
                self._await(process.pid, watch, aim)
                strike(process)
                out, said = process.communicate(timeout=NEVER_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                out, said = b"", b"it, or what it started, did not end by itself"
            except BaseException:
                # Popen waits at the end of its block, and an operation may be stuck.
                process.kill()
                raise
            return Result(process.wait(), out, said)

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

"""Kills the shim in the middle of its work, with SIGKILL or more gently, and sees from the outside what that leaves.

`Target` is one account's store under attack: backend_chaos.py attacks what one image does for a cloud, chain_chaos.py
what a pattern does with its backend. A round prepares an operation, starts it, kills it, examines the host and the
store, has the next operations succeed, and examines the store again, which then has to be tidy.

A kill is aimed in one of three ways: at any instant of the operation's usual length, at the very start, or at one
of the operation's steps: right after the n-th change of a name in one of the store's directories (inotify(7)),
which is where a commit has its weak points.

In place of a kill the disk may be filled at such an instant, where the store is on a small one: the operation then ends
by itself.
"""

import os
import random
import select
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, NamedTuple

from examinations import Examination
from installed import Result, Shim
from layouts import File, Layer, build_layout
from layouts import directory as empty_directory
from servers import RegistryServer
from small_disks import Disk
from watches import Watch

TREE_FILES = 400
LAYER_NOISE = 1 << 20
START_SECONDS = 0.03
NEVER_SECONDS = 60
# What a step is that never comes.
NO_STEP = 1 << 30
SHIM = "shim"


class Victim(NamedTuple):
    """An image to attack: the text of its entrypoint, and the user that it runs as."""

    entrypoint: str
    user: str = ""


def push_images(registry: RegistryServer, directory: str, victims: dict[str, Victim]) -> tuple[str, ...]:
    """Push images of these names, made in an empty directory; returns their references."""
    references = []
    for seed, (name, victim) in enumerate(victims.items()):
        layout = os.path.join(directory, name)
        _build(layout, seed, victim)
        references.append(registry.push(layout, "latest", f"{name}:1"))
    return tuple(references)


def _build(path: str, seed: int, victim: Victim) -> None:
    """An image of several layers, whose download and unpacking take long enough to be hit."""
    noise = random.Random(seed)
    small = {f"data/{number}": File(noise.randbytes(200)) for number in range(TREE_FILES)}
    large = [Layer({f"blob/{number}": File(noise.randbytes(LAYER_NOISE))}) for number in range(3)]
    build_layout(
        path,
        files={"entrypoint": victim.entrypoint},
        user=victim.user,
        layers=[Layer({"data": empty_directory(), **small}), *large],
    )


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
    """What a round found. hit: what was killed before the operation's end, if anything. state: such as `old`, `new`."""

    hit: str
    state: str
    anomalies: list[str]


class Tally:
    """What the rounds of one kind found, all together."""

    def __init__(self) -> None:
        self.rounds = 0
        self.hits = Counter[str]()
        self.states = Counter[str]()
        self.anomalies: list[str] = []

    def add(self, found: Found) -> None:
        self.rounds += 1
        if found.hit:
            self.hits[found.hit] += 1
        self.states[found.state] += 1
        self.anomalies += found.anomalies


class Target(ABC):
    """The store of one account, and what can be done with it."""

    OPERATIONS: ClassVar[Sequence[str]]
    # What can be tried on a disk that is filled: it ends by itself.
    ENDING: ClassVar[Sequence[str]]

    def __init__(
        self, shim: Shim, seen: Examination, chance: random.Random, disk: Disk | None = None
    ) -> None:
        """disk: the small disk that the store is on, for rounds that fill it."""
        self.root = shim.root
        self._shim = shim
        self._seen = seen
        self._chance = chance
        self._disk = disk
        self._usual: dict[str, Usual] = {}

    # The operations: what comes before, how they are called, and what tells the old state from the new.

    @abstractmethod
    def _prepare(self, operation: str) -> None:
        """Have an operation possible."""

    @abstractmethod
    def _call(self, operation: str) -> Call:
        """How an operation is called."""

    @abstractmethod
    def _state(self, operation: str) -> object:
        """What an operation changes."""

    @abstractmethod
    def _go_on(self, operation: str) -> Iterator[str]:
        """Do what a user would do next; what fails is an anomaly."""

    @abstractmethod
    def examine(self) -> Iterator[str]:
        """What is wrong with a store, and a host, of which nothing was killed lately."""

    @abstractmethod
    def _directories(self) -> Sequence[str]:
        """The directories of the store in which a change of a name is a step."""

    def _growing(self) -> Sequence[str]:
        """Those of them in which the same holds for every directory that comes into being."""
        return ()

    def _name(self, before: object, after: object) -> str:
        """What a state is called in the tally."""
        return "old" if after == before else "new"

    # The attack.

    def round(self, operation: str, number: signal.Signals = signal.SIGKILL) -> Found:
        """Send an operation a signal once."""
        aim = self._aim(operation)
        self._prepare(operation)
        before = self._state(operation)
        hit, done = self._strike(operation, aim, lambda process: self._send(process, number))
        anomalies = [f"after the kill: {each}" for each in (*self._seen.host(), *self._seen.store())]
        if not self._ends_well(done, hit, number):
            anomalies.append(f"{number.name} of {hit or 'nothing'}: {done}")
        return self._go_on_after(operation, before, hit, anomalies)

    def fill_round(self, operation: str) -> Found:
        """Fill the disk in the middle of an operation once, and relieve it when the operation has ended."""
        assert self._disk is not None
        aim = self._aim(operation)
        self._prepare(operation)
        before = self._state(operation)
        try:
            hit, done = self._strike(operation, aim, self._disk_filled)
        finally:
            self._disk.relieve()
        anomalies = [f"after the fill: {each}" for each in (*self._seen.host(), *self._seen.store())]
        if b"Traceback" in done.err or done.code < 0 or (done.code and not done.err):
            anomalies.append(f"full disk: {done}")
        return self._go_on_after(operation, before, hit if done.code else "", anomalies)

    def _send(self, process: subprocess.Popen[bytes], number: signal.Signals) -> str:
        """Send a signal to an operation that goes on; returns what it was sent to."""
        process.send_signal(number)
        return SHIM

    def _disk_filled(self, _: subprocess.Popen[bytes]) -> str:
        assert self._disk is not None
        self._disk.fill()
        return "disk"

    def _ends_well(self, done: Result, hit: str, number: signal.Signals) -> bool:
        """Whether the shim ends as it should by a signal to what was hit; before it is there, Python itself is hit."""
        if hit not in ("", SHIM):
            return b"Traceback" not in done.err and done.code >= 0 and (done.code == 0 or bool(done.err))
        if b"Traceback" in done.err:
            return b"KeyboardInterrupt" in done.err and b"site-packages" not in done.err
        return done.code in (0, 128 + number, -number)

    def _go_on_after(self, operation: str, before: object, hit: str, anomalies: list[str]) -> Found:
        after = self._state(operation)
        anomalies += [f"next: {each}" for each in self._go_on(operation)]
        anomalies += [f"tidied: {each}" for each in self.examine()]
        kind = f"{operation} as {self._shim.account.kind}"
        if hit:
            kind += f", {hit} hit"
        return Found(hit, self._name(before, after), [f"{kind}: {each}" for each in anomalies])

    def finish(self) -> list[str]:
        """What is wrong when `gc` has done its work."""
        self._must("gc")
        found = list(self.examine())
        for path, _, names in os.walk(self.root):
            found += [f"gc leaves {os.path.join(path, name)}" for name in names if ".new-" in name]
        return [f"at the end, as {self._shim.account.kind}: {each}" for each in found]

    def _usual_of(self, operation: str) -> Usual:
        if operation not in self._usual:
            self._prepare(operation)
            self._usual[operation] = self._measure(operation)
        return self._usual[operation]

    def _measure(self, operation: str) -> Usual:
        steps = 0

        def meanwhile(process: subprocess.Popen[bytes], watch: Watch) -> None:
            nonlocal steps
            steps = self._await(process.pid, watch, Aim(NEVER_SECONDS, NO_STEP))

        begun = time.monotonic()
        done = self._start(operation, meanwhile)
        seconds = time.monotonic() - begun
        if done.code != 0:
            raise AssertionError(f"{operation} fails undisturbed: {done}")
        return Usual(seconds, steps)

    def _aim(self, operation: str) -> Aim:
        usual = self._usual_of(operation)
        way = self._chance.choice(("any", "any", "start", "step", "step", "step"))
        if way == "start":
            return Aim(self._chance.uniform(0, START_SECONDS))
        if way == "any":
            return Aim(self._chance.uniform(0, usual.seconds * 1.1))
        return Aim(NEVER_SECONDS, self._chance.randint(1, max(1, usual.steps)))

    def _strike(
        self, operation: str, aim: Aim, strike: Callable[[subprocess.Popen[bytes]], str]
    ) -> tuple[str, Result]:
        """Start an operation, do something to it at an instant, and wait for its end.

        Returns what `strike` does, or "" where the operation had ended before, and how the operation ended.
        """
        hit = ""

        def meanwhile(process: subprocess.Popen[bytes], watch: Watch) -> None:
            nonlocal hit
            self._await(process.pid, watch, aim)
            if process.poll() is None:
                hit = strike(process)

        done = self._start(operation, meanwhile)
        return hit, done

    def _start(self, operation: str, meanwhile: Callable[[subprocess.Popen[bytes], Watch], None]) -> Result:
        call = self._call(operation)
        source = subprocess.PIPE if call.stdin else subprocess.DEVNULL
        with (
            Watch(self._directories(), self._growing()) as watch,
            self._shim.start(*call.arguments, env=call.env, stdin=source) as process,
        ):
            try:
                if process.stdin is not None and call.stdin is not None:
                    process.stdin.write(call.stdin)
                    process.stdin.close()
                    process.stdin = None
                meanwhile(process, watch)
                out, said = process.communicate(timeout=NEVER_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                out, said = b"", b"it, or what it started, did not end by itself"
            except BaseException:
                # Popen waits at the end of its block, and an operation may be stuck.
                process.kill()
                raise
            return Result(process.wait(), out, said)

    def _await(self, pid: int, watch: Watch, aim: Aim) -> int:
        """Wait for the instant, or for the end of the process where that comes first; returns the steps so far."""
        deadline = time.monotonic() + aim.seconds
        seen = 0
        end = os.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(end, select.POLLIN)
            if aim.step:
                poll.register(watch.fd, select.POLLIN)
            while (left := deadline - time.monotonic()) > 0:
                has_ended = any(fd == end for fd, _ in poll.poll(left * 1000))
                seen += watch.changes()
                if has_ended or (aim.step and seen >= aim.step):
                    break
        finally:
            os.close(end)
        return seen

    def _must(self, *command: str, stdin: bytes | None = None) -> Result:
        done = self._shim.run(*command, stdin=stdin)
        if done.code != 0:
            raise AssertionError(f"{command} fails undisturbed: {done}")
        return done

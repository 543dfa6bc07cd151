"""Attacks what a pattern does with its backend: provision, bind, unbind and deprovision of one instance (see chaos.py).

A server outside of the store (ledgers.py) knows what the images have made: `access-A` for each setup, `service-S` for
each provision and `user-S-U` for each bind. Both images are written with care: they write the name of what they make to
the disk, $OUT_CONFIG or $CREDSTORE, before they make it, and a setup that fails leaves nothing. So whatever the server
has must be in the store, at any time.

A kill hits any of the processes of the operation: the shim, its sandbox process, process 1, runc, umoci, or a process
of the image. A gentler signal is the shim's.
"""

import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from chaos import Call, Target, Victim, push_images
from examinations import Examination
from installed import Shim, done
from ledgers import LEDGER_FUNCTIONS, Ledger
from leftovers import descendants, read
from script_images import METADATA
from servers import RegistryServer
from small_disks import Disk

INSTANCE, BINDING = "shop", "web"
INPUTS = {"size": 3}
READY, FAILED = "ready", "failed"
INSTANCE_STATES = ("provisioning", READY, FAILED, "deprovisioning")
BINDING_STATES = ("binding", READY, FAILED)
UNPACK = "unpack "
# How many of the kills are of another process than the shim, and the longest time in seconds between two looks for one.
OTHERS = 0.6
LONGEST_PAUSE = 0.05
# That of an instance, and of its binding if it has one; None without an instance.
State = tuple[str, ...] | None

BACKEND = f"""#!/bin/sh
set -e
{LEDGER_FUNCTIONS}
case $1 in
metadata) {METADATA} ;;
configure) sed 's/.*: "//; s/".*//' > "$OUT_CONFIG/ledger" ;;
setup)
    LEDGER=$(cat "$IN_CONFIG/ledger")
    id=$(new)
    cp "$IN_CONFIG/ledger" "$OUT_CONFIG"
    echo "$id" > "$OUT_CONFIG/id"
    ask add "access-$id" || {{ ask remove "access-$id"; exit 1; }}
    echo "LEDGER: '$LEDGER'"
    echo "ACCESS: '$id'" ;;
teardown)
    if [ -s "$IN_CONFIG/id" ]; then
        LEDGER=$(cat "$IN_CONFIG/ledger")
        ask remove "access-$(cat "$IN_CONFIG/id")"
    fi ;;
esac
"""

PATTERN = f"""#!/bin/sh
set -e
{LEDGER_FUNCTIONS}
if [ "$1" != metadata ]; then [ "$(cat /tweed/out/id)" = "$ACCESS" ]; fi
secret=$(cat "$CREDSTORE/secret" 2> /dev/null || true)
case $1 in
metadata) printf "pattern: tweed/v1\\nname: n\\nversion: v\\n" ;;
provision)
    secret=$(new)
    echo "$secret" > "$CREDSTORE/secret"
    ask add "service-$secret" "access-$ACCESS"
    cp "$INPUTS" "$OUTPUTS/inputs" ;;
bind)
    user=$(new)
    ask add "user-$secret-$user" "access-$ACCESS" "service-$secret"
    echo "user: '$user'" ;;
unbind)
    user=$(sed -n 's/.*"user": *"//; s/".*//p' "$BINDING")
    if [ -n "$user" ]; then ask remove "user-$secret-$user"; fi ;;
deprovision)
    if [ -n "$secret" ]; then
        ask remove "user-$secret-"
        ask remove "service-$secret"
    fi ;;
esac
"""


def push_chain(registry: RegistryServer, directory: str) -> tuple[str, str]:
    """A backend and a pattern with another user, made in an empty directory; returns their references."""
    victims = {"ledger-backend": Victim(BACKEND), "ledger-pattern": Victim(PATTERN, "65534:65534")}
    backend, pattern = push_images(registry, directory, victims)
    return backend, pattern


class ChainExamination(Examination):
    """Looks at the instances of a store and at what a ledger says that the images have made."""

    def __init__(self, shim: Shim, ledger: Ledger) -> None:
        super().__init__(shim)
        self._ledger = ledger

    def store(self) -> Iterator[str]:
        yield from super().store()
        lists = {}
        for command in ("instances", "clouds"):
            result = self._shim.run(command, "--json")
            if result.code != 0 or result.err:
                yield f"{command}: {result}"
                return
            lists[command] = json.loads(result.out)
        yield from self._torn(lists["instances"])
        yield from self._lost(lists["clouds"])

    def _torn(self, listed: Any) -> Iterator[str]:
        if set(state_of(listed) or ()) - {READY, FAILED}:
            yield f"nobody is at work, and there is {listed}"
        for name, record in self.instances().items():
            if record["state"] not in INSTANCE_STATES:
                yield f"instance {name} is {record['state']}"
            if json.loads(read(self._path("instances", name, "inputs.json"))) != INPUTS:
                yield f"instance {name} has other inputs"
            for binding, about in self.bindings(name).items():
                has_credentials = "credentials" in about
                if about["state"] not in BINDING_STATES or has_credentials != (about["state"] == READY):
                    yield f"binding {binding} is {about['state']} and has {sorted(about)}"

    def _lost(self, clouds: Any) -> Iterator[str]:
        """What was made and cannot be removed: the store does not know it."""
        entries = self._ledger.entries()
        secrets = tuple(self.secret(name) for name in self.instances())
        known = set(self._accesses(clouds))
        for entry in entries:
            kind, _, name = entry.partition("-")
            if kind == "access" and name not in known:
                yield f"the store names no interaction that has {entry}"
            if kind != "access" and not any(secret and name.startswith(secret) for secret in secrets):
                yield f"the credential of {entry} is lost"

    def _accesses(self, clouds: Any) -> Iterator[str]:
        """What the interactions have written that the store names."""
        for cloud in clouds:
            for each in cloud["setups"]:
                for path, _, names in os.walk(
                    self._path("clouds", cloud["name"], "interactions", each["name"])
                ):
                    if "id" in names:
                        yield read(os.path.join(path, "id")).strip()

    def not_made(self) -> Iterator[str]:
        """What the records of an instance that was not touched since say, and the ledger does not have."""
        entries = self._ledger.entries()
        for name, record in self.instances().items():
            secret = self.secret(name)
            if record["state"] == READY and f"service-{secret}" not in entries:
                yield f"instance {name} is ready, and there is no service-{secret}"
            for binding, about in self.bindings(name).items():
                user = about.get("credentials", {}).get("user")
                if user and f"user-{secret}-{user}" not in entries:
                    yield f"binding {binding} is ready, and there is no user-{secret}-{user}"

    def listed(self, command: str) -> list[dict[str, Any]]:
        """What a command prints with --json."""
        found: list[dict[str, Any]] = json.loads(done(self._shim.run(command, "--json")).out)
        return found

    def state(self) -> State:
        return state_of(self.listed("instances"))

    def instances(self) -> dict[str, dict[str, Any]]:
        return self._recorded(self._path("instances"))

    def bindings(self, instance: str) -> dict[str, dict[str, Any]]:
        return self._recorded(self._path("instances", instance, "bindings"))

    def secret(self, instance: str) -> str:
        path = self._path("instances", instance, "credstore", "secret")
        return read(path).strip() if os.path.exists(path) else ""

    def _recorded(self, directory: str) -> dict[str, dict[str, Any]]:
        names = os.listdir(directory) if os.path.isdir(directory) else ()
        paths = {name: os.path.join(directory, name, "record.json") for name in names}
        return {name: json.loads(read(path)) for name, path in paths.items() if os.path.exists(path)}

    def _path(self, *names: str) -> str:
        return os.path.join(self._shim.root, *names)


def state_of(instances: list[dict[str, Any]]) -> State:
    """The state of the only instance, and of its only binding."""
    for instance in instances:
        return instance["state"], *(each["state"] for each in instance["bindings"])
    return None


def next_step(state: State, wanted: State) -> str:
    """The operation that leads nearer to a state that is not reached."""
    if state is None:
        return "provision"
    if wanted is None or state[0] == FAILED:
        return "deprovision"
    return "unbind" if state[1:] else "bind"


class ChainTarget(Target):
    """An instance in a cloud, and one binding of it."""

    # Before some of them, neither image is unpacked.
    OPERATIONS = ("provision", "bind", "unbind", "deprovision", f"{UNPACK}provision", f"{UNPACK}unbind")
    ENDING = OPERATIONS
    # The state before each of them, and the one after it.
    STATES: Mapping[str, tuple[State, State]] = {
        "provision": (None, (READY,)),
        "bind": ((READY,), (READY, READY)),
        "unbind": ((READY, READY), (READY,)),
        "deprovision": ((READY, READY), None),
    }

    def __init__(
        self,
        shim: Shim,
        images: tuple[str, str],
        ledger: Ledger,
        *,
        chance: random.Random,
        disk: Disk | None = None,
    ) -> None:
        """images: those of `push_chain`."""
        self._chain = ChainExamination(shim, ledger)
        super().__init__(shim, self._chain, chance, disk)
        backend, self._pattern = images
        self._ledger = ledger
        configuration = json.dumps({"ledger": ledger.address}).encode()
        self._must("exec", backend, "configure", stdin=configuration)
        self._must("pull", self._pattern)
        self._seen.remember_trees()

    def examine(self) -> Iterator[str]:
        yield from self._seen.host()
        yield from self._seen.tidy()

    def finish(self) -> list[str]:
        found = list(self._go_to(None))
        found += super().finish()
        left = self._ledger.entries()
        for path in ("instances", "clouds/default/interactions"):
            if os.path.isdir(directory := os.path.join(self.root, path)):
                left += os.listdir(directory)
        return found + [f"at the end, as {self._shim.account.kind}, there is still {each}" for each in left]

    # The operations.

    def _call(self, operation: str) -> Call:
        name = operation.removeprefix(UNPACK)
        more = ("--binding", BINDING) if name.endswith("bind") else ()
        if name == "provision":
            more = ("--inputs", "-")
        stdin = json.dumps(INPUTS).encode() if name == "provision" else None
        return Call(("exec", self._pattern, name, "--network", "host", "--instance", INSTANCE, *more), stdin)

    def _prepare(self, operation: str) -> None:
        if faults := list(self._go_to(self.STATES[operation.removeprefix(UNPACK)][0])):
            raise AssertionError(faults)
        if operation.startswith(UNPACK):
            for tree in self._seen.trees():
                shutil.rmtree(os.path.join(self.root, "rootfs", tree))

    def _state(self, operation: str) -> State:  # noqa: ARG002 - the state is the same for all of them
        return self._chain.state()

    def _name(self, before: object, after: object) -> str:
        return FAILED if isinstance(after, tuple) and FAILED in after else super()._name(before, after)

    def _go_on(self, operation: str) -> Iterator[str]:
        if operation.removeprefix(UNPACK) in ("provision", "bind"):
            yield from self._chain.not_made()
        wanted = self.STATES[operation.removeprefix(UNPACK)][1]
        ways = [self._tear_down_left(operation.removeprefix(UNPACK)), self._go_to(wanted)]
        self._chance.shuffle(ways)
        for way in ways:
            yield from way
        yield from (f"{each} is left" for each in self._ledger.entries() if each.startswith("access"))

    def _go_to(self, wanted: State) -> Iterator[str]:
        """Do what leads to a state, one operation after the other."""
        state = self._chain.state()
        while state != wanted:
            before, operation = state, next_step(state, wanted)
            call = self._call(operation)
            result = self._shim.run(*call.arguments, stdin=call.stdin)
            state = self._chain.state()
            if result.code != 0 or state == before:
                yield f"{operation} where the state was {before}: {result}"
                return

    def _tear_down_left(self, operation: str) -> Iterator[str]:
        """Type the commands that the store names for the interactions that were left behind."""
        said = self._must("instances").err.decode()
        commands = re.findall("tear it down with: tweed-shim (.*)$", said, re.MULTILINE)
        left = [each for cloud in self._chain.listed("clouds") for each in cloud["setups"]]
        if len(commands) != len(left) or any(
            (each["instance"], each["operation"], each["left"]) != (INSTANCE, operation, True)
            for each in left
        ):
            yield f"of {left} it says {said}"
        for command in commands:
            result = self._shim.run(*shlex.split(command), "--network", "host")
            if result.code != 0:
                yield f"{command}: {result}"

    # The attack.

    def _directories(self) -> list[str]:
        names = ("tmp", "scratch", "runs", "rootfs", "images")
        return [self._ledger.directory, *(os.path.join(self.root, name) for name in names)]

    def _growing(self) -> list[str]:
        inner = [
            path for name in ("clouds", "instances") for path, _, _ in os.walk(os.path.join(self.root, name))
        ]
        return [self.root, *inner]

    def _send(self, process: subprocess.Popen[bytes], number: signal.Signals) -> str:
        if number == signal.SIGKILL and self._chance.random() < OTHERS:
            return self._kill_other(process)
        return super()._send(process, number)

    def _kill_other(self, process: subprocess.Popen[bytes]) -> str:
        """Kill what the shim has started, as soon as there is something; returns its name."""
        while process.poll() is None:
            if others := descendants(process.pid):
                pid = self._chance.choice(sorted(others))
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                return others[pid]
            time.sleep(self._chance.uniform(0, LONGEST_PAUSE))
        return ""

"""A program in the container writes to the files of the kernel: to none of /sys and /proc, and to no control group."""

import contextlib
import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from accounts import Account
from host_programs import PYTHON, ProgramsImage
from hostile import kernel_files
from installed import Shim
from tweed_shim.runtime import host

TOP = "/sys/fs/cgroup"
# Where control groups may be: version 2 alone or beside version 1, and two hierarchies of version 1.
HIERARCHIES = (TOP, f"{TOP}/unified", f"{TOP}/freezer", f"{TOP}/pids")
# What a program is to bring home of its attempts.
NOTHING: dict[str, list[str]] = {"written": [], "made": [], "groups": [], "heat": []}
# What says that a group is frozen.
FREEZERS = {"freezer.state": "THAWED", "cgroup.freeze": "0"}
# A host whose control groups are those of version 2, for one command of one user.
VERSION_2 = (
    f'umount --recursive --lazy {TOP} && mount -t cgroup2 cgroup2 {TOP} || exit 99; exec setpriv --reuid "$0" '
    '--regid "$1" --clear-groups -- "${@:2}"'
)


@pytest.fixture(scope="session")
def image(programs_image: ProgramsImage) -> str:
    with open(kernel_files.__file__, encoding="utf-8") as file:
        return programs_image(f"#!{PYTHON} -I\n{file.read()}")


class Victim(NamedTuple):
    """A process of the caller's on the host, and the control groups that it is in, which are the caller's, too."""

    name: str
    process: subprocess.Popen[bytes]
    groups: list[str]

    def untouched(self) -> bool:
        """Tell whether it lives, is where it was, and is not frozen."""
        return self.process.poll() is None and all(map(self._is_as_it_was, self.groups))

    def _is_as_it_was(self, group: str) -> bool:
        there = {name: read(f"{group}/{name}") for name in FREEZERS if os.path.exists(f"{group}/{name}")}
        return read(f"{group}/cgroup.procs") == str(self.process.pid) and there.items() <= FREEZERS.items()


def read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def make_delegated(group: str, account: Account) -> None:
    """Make a control group that belongs to a user, as systemd makes those below user@.service."""
    os.mkdir(group)
    for path in (group, *(entry.path for entry in os.scandir(group))):
        os.chown(path, account.uid, account.gid)


@contextlib.contextmanager
def victim_of(account: Account) -> Iterator[Victim]:
    name = f"victim-{secrets.token_hex(4)}"
    groups = [
        f"{hierarchy}/{name}" for hierarchy in HIERARCHIES if os.path.exists(f"{hierarchy}/cgroup.procs")
    ]
    assert groups, "this host has no control groups"
    with subprocess.Popen(
        ["sleep", "1000"], user=account.uid, group=account.gid, extra_groups=[], start_new_session=True
    ) as process:
        try:
            for group in groups:
                make_delegated(group, account)
                write(f"{group}/cgroup.procs", str(process.pid))
            yield Victim(name, process, groups)
        finally:
            for group in groups:
                thaw(group)
            process.kill()
            process.wait()
            for group in groups:
                os.rmdir(group)


def thaw(group: str) -> None:
    for name, thawed in FREEZERS.items():
        if os.path.exists(f"{group}/{name}"):
            write(f"{group}/{name}", thawed)


def attack(shim: Shim, image: str, victim: Victim, *options: str) -> Any:
    told = json.dumps({"group": victim.name, "from": "/"}).encode()
    done = shim.run("exec", image, "configure", *options, stdin=told)
    assert done.code == 0, done
    return json.loads(done.out)


@pytest.mark.parametrize("network", ["none", "host"])
def test_nothing_of_the_kernel_can_be_written(confined_shim: Shim, image: str, network: str) -> None:
    with victim_of(confined_shim.account) as victim:
        report = attack(confined_shim, image, victim, "--network", network)
        assert victim.untouched()
    assert {"/sys", "/proc", "/proc/sys"} <= set(report["mounts"])
    assert {name: report[name] for name in NOTHING} == NOTHING


def on_version_2(shim: Shim, *arguments: str) -> Any:
    account = shim.account
    command = ["unshare", "--mount", "bash", "-c", VERSION_2, str(account.uid), str(account.gid)]
    done = subprocess.run(
        [*command, *shim.command(*arguments)],
        env=shim.environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done
    return json.loads(done.stdout)


@pytest.mark.parametrize("network", ["none", "host"])
def test_on_a_host_of_version_2_only_the_own_groups_are_seen_and_not_written(
    confined_shim: Shim, image: str, network: str, public_directory: str
) -> None:
    with victim_of(confined_shim.account) as victim:
        config = os.path.join(public_directory, f"{victim.name}.json")
        write(config, json.dumps({"group": victim.name, "from": TOP}))
        os.chmod(config, 0o644)
        report = on_version_2(
            confined_shim, "exec", image, "configure", "--network", network, "--config", config
        )
        os.unlink(config)
        assert victim.untouched()
    assert TOP in report["mounts"]
    assert {name: report[name] for name in NOTHING} == NOTHING


def test_a_program_sees_its_own_memory_limit(confined_shim: Shim, image: str) -> None:
    limiting = confined_shim.account.kind == "root" and "memory" in host.inspect().cgroups.controllers
    if not limiting:
        return
    with victim_of(confined_shim.account) as victim:
        report = attack(confined_shim, image, victim, "--memory", "64m")
    assert list(report["limits"].values()) == [str(64 << 20)]

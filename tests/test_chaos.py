"""A few rounds of scripts/chaos: kill -9 at any instant leaves nothing behind and a store that goes on to work."""

import os
import pwd
import random
import signal
import subprocess
from itertools import takewhile

import pytest

from accounts import Account
from chaos import Target, push_victims
from installed import PROJECT, Shim, fresh_shim, mentions
from leftovers import process_owners
from servers import RegistryServer
from small_disks import shim_on_a_disk


@pytest.fixture(scope="module")
def victims(registry: RegistryServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return push_victims(registry, os.fspath(tmp_path_factory.mktemp("victims")))


@pytest.mark.chaos
def test_a_kill_at_any_instant_leaves_nothing_behind_and_a_store_that_is_old_or_new(
    shim: Shim, victims: tuple[str, str]
) -> None:
    seed = random.randrange(10**6)
    target = Target(shim, *victims, random.Random(seed))
    # Root does all of them; the others, who differ in little, half of them each.
    begin, step = {"root": (0, 1), "range": (0, 2), "single": (1, 2)}[shim.account.kind]
    found = [target.round(operation) for operation in Target.OPERATIONS[begin::step]]
    anomalies = [each for round_found in found for each in round_found.anomalies] + target.finish()
    assert not anomalies, f"seed {seed}"
    assert any(each.running for each in found), "no kill came in time"


@pytest.mark.chaos
def test_a_disk_that_fills_at_any_instant_leaves_a_store_that_is_old_or_new(
    account: Account, program: str, victims: tuple[str, str]
) -> None:
    seed = random.randrange(10**6)
    with shim_on_a_disk(account, program, "96m") as (shim, disk):
        target = Target(shim, *victims, random.Random(seed), disk)
        begin, step = {"root": (0, 1), "range": (0, 3), "single": (1, 3)}[account.kind]
        found = [target.fill_round(operation) for operation in Target.ENDING[begin::step]]
        anomalies = [each for round_found in found for each in round_found.anomalies] + target.finish()
        assert not anomalies, f"seed {seed}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_attack_that_is_interrupted_removes_its_users_mounts_and_processes(
    accounts: dict[str, Account], number: signal.Signals
) -> None:
    command = [os.path.join(PROJECT, "scripts", "chaos"), "--accounts", "range", "--rounds", "1000", "-v"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            lines = list(takewhile(lambda line: not line.startswith("round 0"), process.stdout))
            [homes] = [line.split()[1] for line in lines if line.startswith("homes ")]
            stores = [os.path.dirname(line.split()[1]) for line in lines if line.startswith("store ")]
            # One is on a disk of its own.
            directories = {homes, *(path.removesuffix("/disk") for path in stores)}
            assert len(directories) == 3
            assert set().union(*map(traces, directories)) >= {"directory", "user", "mount"}
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, "Traceback" in said) == (128 + number, False), said
    assert {path: traces(path) for path in directories} == {path: set() for path in directories}


def traces(directory: str) -> set[str]:
    """What there is of a directory on this host: itself, users, mounts, processes."""
    users = any(user.pw_dir.startswith(f"{directory}/") for user in pwd.getpwall())
    mounts = mentions("/proc/self/mountinfo", os.fsencode(directory))
    commands = any(mentions(f"/proc/{pid}/cmdline", os.fsencode(directory)) for pid in process_owners())
    found = {"directory": os.path.lexists(directory), "user": users, "mount": mounts, "process": commands}
    return {name for name, there in found.items() if there}


def largest(directory: str) -> str:
    """The name of the largest file: of all blobs, a layer, which the examination reads as nothing else."""
    return max(os.listdir(directory), key=lambda name: os.path.getsize(os.path.join(directory, name)))


def test_the_examination_sees_what_is_wrong(
    accounts: dict[str, Account], program: str, victims: tuple[str, str]
) -> None:
    with fresh_shim(accounts["root"], program) as shim:
        target = Target(shim, *victims, random.Random(0))
        assert list(target.examine()) == []
        for path in (
            "clouds/default/config/current/data/1",
            "clouds/default/interactions/default/current/data/1",
            f"rootfs/{os.listdir(os.path.join(shim.root, 'rootfs'))[0]}/rootfs/data/1",
            f"images/blobs/sha256/{largest(f'{shim.root}/images/blobs/sha256')}",
        ):
            with open(os.path.join(shim.root, path), "r+b") as file:
                before = file.read()
                file.write(b"more")
                file.flush()
                assert len(list(target.examine())) == 1, path
                file.truncate(len(before))
        os.mkdir(os.path.join(shim.root, "tmp", "work-left"))
        os.mkdir(os.path.join(shim.root, "clouds", "default", "config", "draft-left"))
        assert len(list(target.examine())) == 2

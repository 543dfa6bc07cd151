"""A few rounds of scripts/chaos: kill -9 at any instant leaves nothing behind and a store that goes on to work."""

import os
import pwd
import random
import signal
import subprocess
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

from accounts import Account, in_turn
from backend_chaos import BackendTarget, push_victims
from chain_chaos import ChainTarget, push_chain
from installed import PROJECT, Shim, done, fresh_shim, mentions
from ledgers import Ledger, running_ledger
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
    target = BackendTarget(shim, victims, random.Random(seed))
    # Root does all of them; the others, who differ in little, half of them each.
    begin, step = {"root": (0, 1), "range": (0, 2), "single": (1, 2)}[shim.account.kind]
    found = [target.round(operation) for operation in BackendTarget.OPERATIONS[begin::step]]
    anomalies = [each for round_found in found for each in round_found.anomalies] + target.finish()
    assert not anomalies, f"seed {seed}"
    assert any(each.hit for each in found), "no kill came in time"


@pytest.mark.chaos
def test_a_disk_that_fills_at_any_instant_leaves_a_store_that_is_old_or_new(
    account: Account, program: str, victims: tuple[str, str]
) -> None:
    seed = random.randrange(10**6)
    with shim_on_a_disk(account, program, "96m") as (shim, disk):
        target = BackendTarget(shim, victims, random.Random(seed), disk)
        begin, step = {"root": (0, 1), "range": (0, 3), "single": (1, 3)}[account.kind]
        found = [target.fill_round(operation) for operation in BackendTarget.ENDING[begin::step]]
        anomalies = [each for round_found in found for each in round_found.anomalies] + target.finish()
        assert not anomalies, f"seed {seed}"


@pytest.fixture(scope="module")
def chain(registry: RegistryServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return push_chain(registry, os.fspath(tmp_path_factory.mktemp("chain")))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with running_ledger(os.fspath(tmp_path)) as running:
        yield running


@pytest.mark.chaos
def test_a_kill_in_a_chain_loses_no_credential_and_leaves_no_interaction_that_the_store_does_not_name(
    shim: Shim, chain: tuple[str, str], ledger: Ledger
) -> None:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    target = ChainTarget(shim, chain, ledger, chance=chance)
    rounds = 2 if shim.account.kind == "root" else 1
    found = [target.round(operation) for operation in chance.sample(ChainTarget.OPERATIONS, rounds)]
    anomalies = [each for round_found in found for each in round_found.anomalies] + target.finish()
    assert not anomalies, f"seed {seed}"


@pytest.mark.chaos
def test_a_disk_that_fills_in_a_chain_loses_nothing_either(
    accounts: dict[str, Account],
    program: str,
    chain: tuple[str, str],
    ledger: Ledger,
    request: pytest.FixtureRequest,
) -> None:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    with shim_on_a_disk(in_turn(accounts, request), program, "96m") as (shim, disk):
        target = ChainTarget(shim, chain, ledger, chance=chance, disk=disk)
        found = target.fill_round(chance.choice(ChainTarget.ENDING))
        assert not found.anomalies + target.finish(), f"seed {seed}"


def test_the_examination_of_a_chain_sees_what_is_lost(
    accounts: dict[str, Account], program: str, chain: tuple[str, str], ledger: Ledger
) -> None:
    with fresh_shim(accounts["root"], program) as shim:
        target = ChainTarget(shim, chain, ledger, chance=random.Random(0))
        assert list(target.examine()) == []
        done(
            shim.run(
                "exec", chain[1], "provision", "--instance", "shop", "--inputs", "-", stdin=b'{"size": 3}'
            )
        )
        assert list(target.examine()) == []
        secret = os.path.join(shim.root, "instances", "shop", "credstore", "secret")
        os.rename(secret, f"{secret}.lost")
        with open(os.path.join(ledger.directory, "access-unknown"), "x"):
            faults = list(target.examine())
        assert [each.partition("service-")[0] for each in faults] == [
            "the store names no interaction that has access-unknown",
            "the credential of ",
        ]
        os.unlink(os.path.join(ledger.directory, "access-unknown"))
        os.rename(f"{secret}.lost", secret)
        assert target.finish() == []


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
        target = BackendTarget(shim, victims, random.Random(0))
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

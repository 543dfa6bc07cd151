"""A few rounds of scripts/chaos: kill -9 at any instant leaves nothing behind and a store that goes on to work."""

import os
import random

import pytest

from accounts import Account
from chaos import Target, push_victims
from installed import Shim, fresh_shim
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

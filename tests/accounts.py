"""The three kinds of caller that every operation has to work for, as real users of this machine."""

import fcntl
import os
import random
import re
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from leftovers import GRANTS, read, remove_user, sweep, work_directory

SUBORDINATE_IDS = 65536
# Held, shared, by every pytest process that needs the ids of `userns_ids`; the last one takes them away again.
GRANTS_LOCK = "/run/lock/tweed-shim-tests-grants"
MADE_BY_TESTS = "made by the tests of tweed-shim"
KINDS = ("root", "range", "single")


class Account(NamedTuple):
    """A user; `kind` is `root`, `range` (has subordinate ids) or `single` (has none).

    ids: every uid on the host that a process or a file of this user's can have.
    """

    name: str
    uid: int
    gid: int
    home: str
    kind: str
    ids: range

    def owns(self, uid: int) -> bool:
        return uid == self.uid or uid in self.ids


def free_range() -> range:
    """Subordinate ids that nobody has been granted."""
    taken = [
        range(int(start), int(start) + int(count))
        for path in GRANTS
        for _, start, count in (line.split(":") for line in read(path).split())
    ]
    while True:
        start = random.randrange(16, 16384) * SUBORDINATE_IDS
        if not any(start < other.stop and other.start < start + SUBORDINATE_IDS for other in taken):
            return range(start, start + SUBORDINATE_IDS)


@contextmanager
def _user(home: str, kind: str) -> Iterator[Account]:
    name = f"tweed-{kind}-{os.urandom(3).hex()}"
    # A system account, because useradd gives others a subordinate range unasked.
    subprocess.run(
        ["useradd", "--system", "--user-group", "--create-home", "--home-dir", home, name], check=True
    )
    owner, ids = os.stat(home), range(0)
    try:
        if kind == "range":
            ids = free_range()
            span = f"{ids.start}-{ids.stop - 1}"
            subprocess.run(["usermod", "--add-subuids", span, "--add-subgids", span, name], check=True)
        account = Account(name, owner.st_uid, owner.st_gid, home, kind, ids)
        yield account
    finally:
        remove_user(name, [range(owner.st_uid, owner.st_uid + 1), ids])
        shutil.rmtree(home)


def open_to_all(path: str) -> None:
    """Let every user read a tree, and go into its directories."""
    subprocess.run(["chmod", "-R", "a+rX", path], check=True)


@contextmanager
def made_accounts(directory: str) -> Iterator[dict[str, Account]]:
    """One account of each kind, by its kind, with its home in a directory; gone at the end of the block."""
    homes = {kind: os.path.join(directory, f"home-{kind}") for kind in KINDS}
    os.mkdir(homes["root"], 0o700)
    with _user(homes["range"], "range") as ranged, _user(homes["single"], "single") as single:
        root = Account("root", 0, 0, homes["root"], "root", range(0))
        yield {"root": root, "range": ranged, "single": single}


@pytest.fixture(scope="session")
def public_directory() -> Iterator[str]:
    """A directory on a real disk that every user may read, for what tests of different users share."""
    if os.geteuid() == 0:
        sweep()
    with work_directory(mode=0o755) as path:
        yield path


@pytest.fixture(scope="session")
def accounts(public_directory: str) -> Iterator[dict[str, Account]]:
    """One account of each kind, by its kind; the users are made for this session and removed after it."""
    if os.geteuid() != 0:
        pytest.skip("only root can make the users that this test runs as")
    with made_accounts(public_directory) as made:
        yield made


def _has_userns_ids() -> bool:
    """Whether this host grants root subordinate ids for --userns."""
    return all(re.search("^(containers|root|0):", read(path), re.MULTILINE) for path in GRANTS)


def _grant_userns_ids() -> None:
    ids = free_range()
    span = f"{ids.start}-{ids.stop - 1}"
    subprocess.run(
        ["useradd", "--system", "--no-create-home", "--comment", MADE_BY_TESTS, "containers"], check=True
    )
    subprocess.run(["usermod", "--add-subuids", span, "--add-subgids", span, "containers"], check=True)


@pytest.fixture(scope="session")
def userns_ids(accounts: dict[str, Account]) -> Iterator[None]:
    """Subordinate ids for --userns; made for this session, and removed after it, where the host has none."""
    with open(GRANTS_LOCK, "w") as lock:
        # A session that holds it for reading keeps the ids. To wait for writing where the ids are there already would
        # be to wait for the end of every other session.
        fcntl.flock(lock, fcntl.LOCK_SH)
        while not _has_userns_ids():
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _has_userns_ids():
                _grant_userns_ids()
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another pytest process needs them still
        if re.search(f"^containers:.*:{MADE_BY_TESTS}:", read("/etc/passwd"), re.MULTILINE):
            subprocess.run(["userdel", "containers"], check=True)


# For what is the same for every kind of user, but not for root.
AS_ONE_USER = pytest.mark.parametrize("account", ["range"], indirect=True)


def in_turn(accounts: dict[str, Account], request: pytest.FixtureRequest) -> Account:
    """One of the accounts, which differs from test to test, for what is the same for all of them."""
    return accounts[KINDS[zlib.crc32(request.node.name.encode()) % len(KINDS)]]


@pytest.fixture(params=KINDS)
def account(request: pytest.FixtureRequest, accounts: dict[str, Account]) -> Account:
    """Each of the three accounts in turn."""
    return accounts[request.param]

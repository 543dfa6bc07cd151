"""What a test run leaves: nothing where it is interrupted, and what a killed one left, the next run sweeps."""

import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from installed import PROJECT
from leftovers import PREFIX, sweep, work_directory

TESTS = os.path.join(PROJECT, "tests")
# A run with a user, a small disk, a control group and a process of the user's; it says so, and goes on for ever.
RUN = """
import os, subprocess, sys, time
from accounts import made_accounts
from leftovers import cgroups, work_directory
from small_disks import Disk
with work_directory(disk=sys.argv[1]) as directory, made_accounts(directory) as accounts:
    user = accounts["range"]
    Disk(os.path.join(directory, "disk"), user)
    command = ["sleep", "1000"]
    sleeper = subprocess.Popen(command, user=user.uid, start_new_session=True, close_fds=True)
    print(user.name, sleeper.pid, flush=True)
    time.sleep(1000)
"""


def has_user(name: str) -> bool:
    return name in {user.pw_name for user in pwd.getpwall()}


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.usefixtures("accounts")
def test_what_a_killed_run_leaves_is_swept_by_the_next_one_and_what_lives_is_not(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": f"{TESTS}:{PROJECT}/shim"}
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, text=True) as process:
        try:
            assert process.stdout is not None
            name, sleeper = process.stdout.readline().split()
            with work_directory(disk=str(tmp_path)) as living:
                [dead] = {str(each) for each in tmp_path.iterdir() if each.is_dir()} - {living}
                assert sweep(str(tmp_path)) == []
                assert (has_user(name), is_running(int(sleeper)), os.path.ismount(f"{dead}/disk")) == (
                    True,
                ) * 3
                process.kill()
                process.wait()
                assert sweep(str(tmp_path)) == [dead]
                assert (has_user(name), is_running(int(sleeper)), os.path.lexists(dead)) == (False,) * 3
                assert sorted(os.listdir(tmp_path)) == [
                    os.path.basename(living),
                    f"{os.path.basename(living)}.lock",
                ]
                assert f"{dead}/" not in Path("/proc/self/mountinfo").read_text()
                assert os.path.isdir(living)
        finally:
            process.kill()
            process.wait()
            sweep(str(tmp_path))


# What a test has to do with it: it asks for users, says which, and waits.
TEST = """
import time
import pytest

def test_waits(accounts, public_directory, capfd):
    with capfd.disabled():
        print("made", public_directory, accounts["range"].name, flush=True)
    time.sleep(1000)
"""


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_interrupted_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "test_waiting.py").write_text(TEST)
    # The fixtures are those of this suite, although the test lies elsewhere.
    options = ["-q", "-p", "conftest", "-p", "no:cacheprovider", "-c", f"{PROJECT}/pyproject.toml"]
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": f"{TESTS}:{PROJECT}/shim"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            made = next(line for line in process.stdout if line.startswith("made "))
            _, directory, name = made.split()
            assert (has_user(name), os.path.isdir(directory)) == (True, True)
            process.send_signal(number)
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == pytest.ExitCode.INTERRUPTED, out
    assert (has_user(name), os.path.lexists(directory)) == (False, False)


@pytest.mark.usefixtures("accounts")
def test_a_tree_that_is_deeper_than_a_recursion_may_be_is_swept(tmp_path: Path) -> None:
    dead = f"{tmp_path}/{PREFIX}dead"
    Path(f"{dead}.lock").touch()
    subprocess.run(["mkdir", "-p", "/".join([dead, *["d"] * 1500])], check=True)
    assert sweep(str(tmp_path)) == [dead]
    assert os.listdir(tmp_path) == []

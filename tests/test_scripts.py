"""The scripts: what they make, and what they say where they cannot."""

import glob
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from accounts import Account, open_to_all
from installed import SYSTEM_PATH
from sample_images import BUILD_COMPONENT, PROJECT, SampleImage
from script_runs import index, run_as


@pytest.fixture(scope="module")
def checkout(public_directory: str) -> Iterator[str]:
    """A copy of what the scripts work with, which every user may read."""
    path = os.path.join(public_directory, "checkout")
    os.mkdir(path)
    for name in ("scripts", "bundles"):
        shutil.copytree(os.path.join(PROJECT, name), os.path.join(path, name))
    open_to_all(path)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def place(public_directory: str, account: Account) -> Iterator[str]:
    """An empty directory of the account's own."""
    path = os.path.join(public_directory, f"place-{account.kind}")
    os.mkdir(path)
    os.chown(path, account.uid, account.gid)
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("demo-backend", "1.0.0"),
        ("redis-backend", "1.1.0"),
        ("demo-pattern", "1.0.0"),
        ("redis-pattern", "1.0.0"),
    ],
)
def test_a_bundle_is_the_same_whoever_builds_it(
    checkout: str, place: str, account: Account, name: str, version: str, sample_image: SampleImage
) -> None:
    layout = os.path.join(place, "layout")
    done = run_as(account, f"{checkout}/scripts/build-bundle", name, layout)
    assert done.returncode == 0, done
    assert index(layout) == index(sample_image(name))
    assert set(index(layout)) == {"latest", version}
    assert os.listdir(place) == ["layout"]
    # Any user who may look into the directory can use the layout.
    assert all(os.stat(os.path.join(layout, entry)).st_mode & 0o044 == 0o044 for entry in os.listdir(layout))


def test_a_build_replaces_its_predecessor_and_nothing_else(
    checkout: str, place: str, account: Account
) -> None:
    build = f"{checkout}/scripts/build-bundle"
    layout = os.path.join(place, "layout")
    first = run_as(account, build, "demo-backend", layout, env={"SOURCE_DATE_EPOCH": "1"})
    assert first.returncode == 0, first
    old = index(layout)
    other = run_as(account, build, "redis-backend", layout)
    assert (other.returncode, index(layout)) == (1, old)
    assert "is no earlier build of redis-backend" in other.stderr
    again = run_as(account, build, "demo-backend", layout)
    assert again.returncode == 0, again
    assert index(layout) != old


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "usage: scripts/build-bundle NAME DEST"),
        (
            ["nosuch", "here"],
            1,
            "there is no bundle nosuch; there are: demo-backend demo-pattern postgres-backend",
        ),
        (["../bundles/demo-backend", "here"], 1, "there is no bundle ../bundles/demo-backend;"),
        (["demo-backend", "/etc"], 1, "/etc is there and is no earlier build of demo-backend;"),
        (["demo-backend", "/nosuch/here"], 1, "/nosuch is not a directory that can be written to."),
    ],
)
def test_build_bundle_says_what_is_wrong(
    checkout: str, accounts: dict[str, Account], arguments: list[str], code: int, words: str
) -> None:
    done = run_as(accounts["single"], f"{checkout}/scripts/build-bundle", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr


def test_build_bundle_names_a_shared_folder_that_is_not_there(
    checkout: str, place: str, account: Account
) -> None:
    bundle = os.path.join(checkout, "bundles", "unfinished")
    os.mkdir(bundle)
    with open(os.path.join(bundle, "image.conf"), "w", encoding="ascii") as file:
        file.write("VERSION=1\nENTRYPOINT=/bin/sh\nSHARED='json nosuch'\n")
    done = run_as(account, f"{checkout}/scripts/build-bundle", "unfinished", f"{place}/layout")
    shutil.rmtree(bundle)
    assert (done.returncode, os.listdir(place)) == (1, [])
    assert done.stderr == "build-bundle: there is no folder bundles/shared/nosuch, which SHARED names.\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["toi-demo"], 2, "the following arguments are required: DEST"),
        (
            ["demo-backend", "here"],
            1,
            "there is no component in bundles/demo-backend; there is one in: toi-demo.",
        ),
        (["toi-demo", "/etc"], 1, "/etc is there already; remove it or name another place."),
        (["toi-demo", "/nosuch/here"], 1, "/nosuch is not a directory that can be written to."),
    ],
)
def test_build_component_says_what_is_wrong(arguments: list[str], code: int, words: str) -> None:
    done = subprocess.run([BUILD_COMPONENT, *arguments], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr


def run_without(programs: list[str], account: Account, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a mount namespace of its own where none of these programs can be executed."""
    paths = [path for path in (shutil.which(name, path=SYSTEM_PATH) for name in programs) if path]
    hide = "".join(f"mount --bind /dev/null {path}\n" for path in paths)
    become = f'exec setpriv --reuid {account.uid} --regid {account.gid} --clear-groups -- "$@"'
    return subprocess.run(
        ["unshare", "--mount", "sh", "-euc", hide + become, "sh", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd="/",
        env={"PATH": SYSTEM_PATH, "HOME": account.home},
        check=False,
    )


@pytest.mark.parametrize(
    ("script", "missing"),
    [
        (["quickstart"], "runc uidmap"),
        (["quickstart", "pattern"], "runc uidmap"),
        (["provision"], "runc uidmap"),
        (["provision", "--tests"], "runc uidmap redis-server"),
        (["test"], "runc uidmap redis-server"),
    ],
)
def test_without_root_and_sudo_the_missing_packages_are_named(
    checkout: str, accounts: dict[str, Account], script: list[str], missing: str
) -> None:
    hidden = ["sudo", "runc", "newuidmap", "redis-server"]
    done = run_without(hidden, accounts["single"], f"{checkout}/scripts/{script[0]}", *script[1:])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(f"apt-get install {missing}\n")
    assert done.stderr.count("\n") == 1
    assert not os.path.exists(f"{checkout}/.venv")


@pytest.mark.parametrize(
    ("contract", "last"),
    [([], "demo-backend: Forgot the user demo-"), (["pattern"], "demo-pattern: Deleted the database shop.")],
)
def test_the_quickstart_shows_a_contract_from_its_beginning_to_its_end(
    place: str, account: Account, program: str, contract: list[str], last: str
) -> None:
    clone = os.path.join(place, "clone")
    for name in ("scripts", "bundles"):
        shutil.copytree(os.path.join(PROJECT, name), os.path.join(clone, name))
    # The program is installed already, as is what scripts/provision would install with it.
    with open(os.path.join(clone, "scripts", "provision"), "w", encoding="ascii") as file:
        file.write("#!/bin/sh\n")
    os.symlink(os.path.dirname(os.path.dirname(program)), os.path.join(clone, ".venv"))
    before = set(glob.glob("/var/tmp/tweed-shim-quickstart-*"))
    done = run_as(account, f"{clone}/scripts/quickstart", *contract)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert last in done.stdout
    assert "That was all of it." in done.stdout
    assert set(glob.glob("/var/tmp/tweed-shim-quickstart-*")) <= before


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        (["quickstart", "nosuch"], 2, "usage: scripts/quickstart [toi | pattern]"),
        (["test", "--in"], 2, "usage: scripts/test"),
        (["test", "--in", "fedora:40"], 2, "usage: scripts/test"),
        (["test", "--in", "debian:11"], 2, "usage: scripts/in-debian"),
        (["test", "--python"], 2, "usage: scripts/test"),
        (["provision", "--python"], 2, "usage: scripts/provision"),
        (["provision", "--python", "/bin/false"], 1, "/bin/false is no Python that works"),
        (["in-debian", "13"], 2, "usage: scripts/in-debian"),
        (["in-debian", "13", "true"], 1, "only root can change the root directory"),
    ],
)
def test_what_a_script_cannot_do_is_said_before_anything_is_done(
    checkout: str, accounts: dict[str, Account], script: list[str], code: int, words: str
) -> None:
    done = run_without([], accounts["single"], f"{checkout}/scripts/{script[0]}", *script[1:])
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert not os.path.exists(f"{checkout}/.venv")


def test_help_takes_no_environment(checkout: str) -> None:
    assert not os.path.exists(f"{checkout}/.venv")
    for name in sorted(os.listdir(f"{checkout}/scripts")):
        path = f"{checkout}/scripts/{name}"
        if not os.path.isfile(path):
            continue
        shown = subprocess.run([path, "--help"], capture_output=True, text=True, env={"PATH": SYSTEM_PATH})
        assert (shown.returncode, shown.stderr) == (0, ""), name
        assert len(shown.stdout) > 30, name
    assert not os.path.exists(f"{checkout}/.venv")


def test_an_interpreter_that_only_root_can_run_is_refused_before_anything_is_done(
    checkout: str, place: str, accounts: dict[str, Account]
) -> None:
    python = os.path.join(place, "python3")
    os.symlink("/usr/bin/python3", python)
    os.chmod(place, 0o700)
    done = run_without([], accounts["root"], f"{checkout}/scripts/test", "--python", python)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"other users cannot run {python}" in done.stderr
    assert not os.path.exists(f"{checkout}/.venv")

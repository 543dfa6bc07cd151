"""`login` and `logout` by root with the HOME of a user: the file stays that user's, and decides nothing for root."""

import base64
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts import Account
from installed import Result, Shim, fresh_shim
from servers import RegistryServer

OTHER = {"auths": {"other.example": {"auth": base64.b64encode(b"other:one").decode()}}}
PROGRAM = '#!/bin/sh\necho "$(id -u) $1" >> "$(dirname "$0")/called"\ncat > /dev/null\n'


@pytest.fixture
def root_shim(accounts: dict[str, Account], program: str) -> Iterator[Shim]:
    with fresh_shim(accounts["root"], program) as fresh:
        yield fresh


@pytest.fixture
def user(accounts: dict[str, Account]) -> Account:
    return accounts["single"]


@pytest.fixture
def home(root_shim: Shim, user: Account) -> Path:
    """A home of the user, where everybody makes entries, with a file of credentials that the user's group may read."""
    home = Path(os.path.dirname(root_shim.root)) / "home"
    home.parent.chmod(0o1777)
    docker = home / ".docker"
    docker.mkdir(parents=True, mode=0o750)
    (docker / "config.json").write_text(json.dumps(OTHER))
    (docker / "config.json").chmod(0o640)
    for path in (home, docker, docker / "config.json"):
        os.chown(path, user.uid, user.gid)
    return home


def login(shim: Shim, server: RegistryServer, home: Path) -> Result:
    arguments = ("login", server.host, "-u", server.user, "--password-stdin")
    return shim.run(*arguments, stdin=server.password.encode(), env={"HOME": os.fspath(home)})


def about(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


def test_the_file_stays_the_users(
    root_shim: Shim, user: Account, home: Path, registry_with_password: RegistryServer, demo_image: str
) -> None:
    server, file = registry_with_password, home / ".docker" / "config.json"
    image = server.push(demo_image, "latest", "demo-backend:1")
    done = login(root_shim, server, home)
    assert done.code == 0, done
    assert os.fspath(file) in done.err.decode()
    for _ in range(2):
        assert about(file) == (user.uid, user.gid, 0o640)
        assert about(file.parent) == (user.uid, user.gid, 0o750)
        assert os.listdir(file.parent) == ["config.json"]
        kept = json.loads(file.read_text())["auths"]
        assert kept["other.example"] == OTHER["auths"]["other.example"]
        # The user can go on with it; root does not take its word for anything.
        env = {"HOME": os.fspath(home)}
        refused = root_shim.run("pull", image, env=env)
        assert (refused.code, b"belongs to" in refused.err) == (125, True), refused
        as_sudo = root_shim.run("pull", image, env=env | {"SUDO_UID": str(user.uid)})
        assert as_sudo.code == (0 if server.host in kept else 125), as_sudo
        assert root_shim.run("logout", server.host, env=env).code == 0
    assert server.host not in json.loads(file.read_text())["auths"]


def test_a_link_of_the_users_is_not_followed(
    root_shim: Shim, user: Account, home: Path, registry_with_password: RegistryServer
) -> None:
    victim, file = home.parent / "victim", home / ".docker" / "config.json"
    for text in ("{}", None):
        for link in (file, file.parent):
            victim.unlink(missing_ok=True)
            if text is not None:
                victim.write_text(text)
            os.rename(link, f"{link}.aside")
            os.symlink(victim if link == file else home.parent, link)
            os.chown(link, user.uid, user.gid, follow_symlinks=False)
            refused = login(root_shim, registry_with_password, home)
            assert refused.code == 125, refused
            assert f"the link {link} belongs to {user.name}" in refused.err.decode()
            assert (victim.read_text() if victim.exists() else None) == text
            assert not (home.parent / "config.json").exists()
            os.unlink(link)
            os.rename(f"{link}.aside", link)


@pytest.mark.parametrize("variable", ["REGISTRY_AUTH_FILE", "DOCKER_CONFIG"])
def test_a_directory_that_another_user_prepared_is_refused_but_for_the_home(
    root_shim: Shim, user: Account, home: Path, registry_with_password: RegistryServer, variable: str
) -> None:
    planted = home.parent / "planted"
    planted.mkdir()
    os.chown(planted, user.uid, user.gid)
    name = planted / "auth.json" if variable == "REGISTRY_AUTH_FILE" else planted
    server = registry_with_password
    refused = root_shim.run(
        *("login", server.host, "-u", server.user, "--password-stdin"),
        stdin=server.password.encode(),
        env={"HOME": os.fspath(home), variable: os.fspath(name)},
    )
    assert refused.code == 125, refused
    assert f"the directory {planted} belongs to {user.name}" in refused.err.decode()
    assert os.listdir(planted) == []


def test_a_home_that_another_user_exchanges_for_a_link_is_refused(
    root_shim: Shim, user: Account, home: Path, registry_with_password: RegistryServer
) -> None:
    victim = home.parent / "victim"
    victim.mkdir()
    home.rename(home.parent / "aside")
    home.symlink_to(victim)
    os.chown(home, user.uid, user.gid, follow_symlinks=False)
    refused = login(root_shim, registry_with_password, home)
    assert refused.code == 125, refused
    assert f"the link {home} belongs to {user.name}" in refused.err.decode()
    assert os.listdir(victim) == []


def test_a_program_that_the_user_names_is_not_called_by_root(
    root_shim: Shim, user: Account, home: Path, registry_with_password: RegistryServer
) -> None:
    programs = home.parent / "bin"
    programs.mkdir()
    (programs / "docker-credential-theirs").write_text(PROGRAM)
    (programs / "docker-credential-theirs").chmod(0o755)
    file = home / ".docker" / "config.json"
    file.write_text(json.dumps({"credsStore": "theirs"}))
    before = file.read_text()
    env = {"HOME": os.fspath(home), "PATH": f"{programs}:{os.environ['PATH']}"}
    server = registry_with_password
    for command, stdin in (
        (("login", server.host, "-u", server.user, "--password-stdin"), server.password.encode()),
        (("logout", server.host), None),
        (("pull", f"{server.host}/any:1"), None),
    ):
        refused = root_shim.run(*command, stdin=stdin, env=env)
        assert refused.code == 125, refused
        assert f"belongs to {user.name} (uid {user.uid}), not to you or root" in refused.err.decode()
    assert not (programs / "called").exists()
    assert file.read_text() == before

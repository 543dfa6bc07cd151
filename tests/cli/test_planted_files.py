"""Commands that write a file that users name, in a directory like /tmp where another user was first."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from accounts import Account, in_turn, open_to_all
from components import Local, component, make_archive
from installed import Result, Shim, fresh_shim
from servers import RegistryServer
from toi_packages import executor, executor_layout, package, with_executor

VICTIM = "nobody but its owner writes this"
APP = component(
    "example.com/a",
    "1",
    [
        Local("text", b"what is downloaded"),
        executor({"imageRef": {"resource": {"name": "executor-image"}}}),
        package(
            {
                "executors": [
                    {"resourceRef": {"resource": {"name": "executor"}}, "outputs": {"result": "result"}}
                ],
                "configScheme": {"type": "object"},
                "additionalResources": {
                    "configFile": {"content": {"a": 1}},
                    "credentialsFile": {"content": {"credentials": {}}},
                },
            }
        ),
    ],
)


class Writer(NamedTuple):
    """A command that writes FILE.

    stdin: what it reads. env: whether it takes the file's name from the environment. makes: `file` or `directory`.
    beside: what it writes beside FILE, as an ending of the name.
    """

    words: list[str]
    stdin: bytes | None = None
    env: str = ""
    makes: str = "file"
    beside: str = ""


WRITERS = {
    "trace": Writer(["--trace", "FILE", "version"]),
    "outputs": Writer(["toi", "bootstrap", "install", "APP", "-o", "FILE"]),
    "outputs in a directory": Writer(["toi", "bootstrap", "install", "APP", "-o", "FILE"], makes="inside"),
    "environment": Writer(["toi", "bootstrap", "install", "APP", "--create-env", "FILE"], makes="directory"),
    "parameters": Writer(["toi", "config", "APP", "-f", "-p", "FILE", "-c", "OTHER"]),
    "scheme": Writer(["toi", "config", "APP", "-f", "-p", "FILE", "-c", "OTHER"], beside=".jsonscheme"),
    "credentials": Writer(["toi", "config", "APP", "-f", "-c", "FILE", "-p", "OTHER"]),
    "download": Writer(["ocm", "download", "APP", "text", "-O", "FILE"]),
    "layout": Writer(
        ["ocm", "download", "APP", "executor-image", "--oci-layout", "-O", "FILE"], makes="directory"
    ),
    "transfer": Writer(["ocm", "transfer", "APP", "FILE"], makes="directory"),
    "transfer to a tar": Writer(["ocm", "transfer", "APP", "FILE", "-t", "tar"]),
    "transfer to a tgz": Writer(["ocm", "transfer", "APP", "FILE", "-t", "tgz"]),
    "state": Writer(["spiff", "merge", "TEMPLATE", "--state", "FILE"]),
    "copy of the state": Writer(["spiff", "merge", "TEMPLATE", "--state", "FILE"], beside=".bak"),
    "write": Writer(["spiff", "merge", "-"], b'a: (( write("FILE", "x") ))\n'),
    "mkdir": Writer(["spiff", "merge", "-"], b'a: (( mkdir("FILE") ))\n', makes="directory"),
    "login": Writer(["login", "HOST", "-u", "USER", "--password-stdin"], b"PASSWORD", "REGISTRY_AUTH_FILE"),
}

# How a stranger prepares NAME before it is written; VICTIM is a file, and THEIRS a directory, of the caller's.
PLANTS = {
    "a link to a file": "ln -s VICTIM NAME",
    "a link to a new file": "ln -s THEIRS/new NAME",
    "a link to a directory": "ln -s THEIRS NAME",
    "a link by way of a link": "ln -s NAME.2 NAME; ln -s VICTIM NAME.2",
    "a pipe": "mkfifo -m 666 NAME",
    "a file": "echo '{}' > NAME; chmod 666 NAME",
    "a directory": "mkdir -m 777 NAME",
}


@pytest.fixture
def account(accounts: dict[str, Account], request: pytest.FixtureRequest) -> Account:
    """Whoever it is, the same is done: each test takes one of them."""
    return in_turn(accounts, request)


class Place(NamedTuple):
    """A directory where everybody makes entries, what the caller has elsewhere, and who came first."""

    shared: Path
    victim: Path
    theirs: Path
    archive: str
    caller: Account
    stranger: Account

    def plant(self, script: str, name: Path) -> None:
        words = {"NAME": name, "VICTIM": self.victim, "THEIRS": self.theirs}
        for word, path in words.items():
            script = script.replace(word, os.fspath(path))
        as_user(self.stranger, script, self.shared)


def as_user(account: Account, script: str, directory: Path) -> None:
    subprocess.run(
        ["sh", "-ec", script], cwd=directory, user=account.uid, group=account.gid, extra_groups=[], check=True
    )


@pytest.fixture(scope="module")
def archive(public_directory: str) -> str:
    layout = executor_layout(
        os.path.join(public_directory, "planted-executor"), "echo done > /toi/outputs/result"
    )
    addition = with_executor(APP, layout, name="executor-image")
    made = make_archive(os.path.join(public_directory, "planted-archive"), addition)
    open_to_all(made)
    return made


@pytest.fixture
def place(shim: Shim, accounts: dict[str, Account], archive: str) -> Place:
    return made_place(shim, accounts, archive)


def made_place(shim: Shim, accounts: dict[str, Account], archive: str) -> Place:
    above = Path(os.path.dirname(shim.root))
    shared, theirs, victim = above / "shared", above / "theirs", above / "victim"
    above.chmod(0o711)
    shared.mkdir()
    shared.chmod(0o1777)
    os.chown(shared, 0, 0)
    theirs.mkdir()
    victim.write_text(VICTIM)
    for path in (theirs, victim):
        os.chown(path, shim.account.uid, shim.account.gid)
    (above / "template.yaml").write_text("a: (( &state (1) ))\n")
    (above / "template.yaml").chmod(0o644)
    stranger = accounts["single" if shim.account.kind == "range" else "range"]
    return Place(shared, victim, theirs, archive, shim.account, stranger)


def call(shim: Shim, place: Place, writer: Writer, file: Path, server: RegistryServer) -> Result:
    words = {
        "FILE": os.fspath(file),
        "OTHER": os.fspath(place.theirs / "other"),
        "APP": f"{place.archive}//example.com/a:1",
        "TEMPLATE": os.fspath(place.shared.parent / "template.yaml"),
        "HOST": server.host,
        "USER": server.user,
    }
    stdin = writer.stdin
    if stdin is not None:
        stdin = stdin.replace(b"FILE", os.fsencode(file)).replace(b"PASSWORD", server.password.encode())
    env = {writer.env: os.fspath(file)} if writer.env else {}
    return shim.run(*(words.get(word, word) for word in writer.words), stdin=stdin, env=env)


def everything(directory: Path) -> dict[str, tuple[int, int, int, int]]:
    found = {}
    for path in directory.rglob("*"):
        about = path.lstat()
        found[os.fspath(path)] = (about.st_ino, about.st_mode, about.st_uid, about.st_size)
    return found


def clear(place: Place) -> None:
    subprocess.run(["find", place.shared, place.theirs, "-mindepth", "1", "-delete"], check=True)


@pytest.mark.parametrize("name", WRITERS)
def test_links_and_files_of_another_user_are_neither_followed_nor_written(
    shim: Shim, place: Place, registry_with_password: RegistryServer, name: str
) -> None:
    writer = WRITERS[name]
    for plant, script in PLANTS.items():
        clear(place)
        file = planted = place.shared / "out.yaml"
        if writer.beside:
            if name == "copy of the state":
                as_user(place.caller, "echo '{}' > out.yaml", place.shared)
            planted = Path(f"{file.with_suffix('') if name == 'scheme' else file}{writer.beside}")
        place.plant(script, planted)
        if writer.makes == "inside" and plant in ("a link to a directory", "a directory"):
            pass  # its own name is that of the directory which is written into
        before = everything(place.shared)
        result = call(shim, place, writer, file, registry_with_password)
        assert result.code == 125, (plant, result)
        assert f"belongs to {place.stranger.name} (uid {place.stranger.uid})" in result.err.decode(), plant
        assert everything(place.shared) == before, plant
        assert everything(place.theirs) == {}, plant
        assert place.victim.read_text() == VICTIM, plant


@pytest.mark.parametrize("name", WRITERS)
def test_a_directory_on_the_way_that_another_user_planted_is_not_gone_into(
    shim: Shim, place: Place, registry_with_password: RegistryServer, name: str
) -> None:
    writer = WRITERS[name]
    for script in ("ln -s THEIRS NAME", "mkdir -m 777 NAME", "mkdir inner; ln -s inner/.. NAME"):
        clear(place)
        place.plant(script, place.shared / "way")
        before = everything(place.shared)
        result = call(shim, place, writer, place.shared / "way" / "out.yaml", registry_with_password)
        assert result.code == 125, (script, result)
        assert f"way belongs to {place.stranger.name}" in result.err.decode(), script
        assert everything(place.shared) == before, script
        assert everything(place.theirs) == {}, script


@pytest.mark.parametrize("name", WRITERS)
def test_where_nobody_was_before_and_by_a_link_of_ones_own_it_is_written(
    shim: Shim, place: Place, registry_with_password: RegistryServer, name: str
) -> None:
    writer = WRITERS[name]
    for script, file, written in (
        ("true", "out.yaml", place.shared / "out.yaml"),
        (f"ln -s {place.theirs}/new.yaml out.yaml", "out.yaml", place.theirs / "new.yaml"),
        (f"ln -s {place.theirs} way", "way/out.yaml", place.theirs / "out.yaml"),
    ):
        clear(place)
        as_user(place.caller, script, place.shared)
        if writer.makes == "inside":
            as_user(place.caller, f"mkdir {written}", place.shared)
        result = call(shim, place, writer, place.shared / file, registry_with_password)
        assert result.code == 0, (script, result)
        about = written.lstat()
        assert stat.S_ISDIR(about.st_mode) == (writer.makes != "file")
        assert about.st_uid == place.caller.uid
        assert (place.shared / "out.yaml").is_symlink() == ("out.yaml" in script)
        if writer.makes == "inside":
            assert (written / "result").read_text() == "done\n"


@pytest.fixture
def root_shim(accounts: dict[str, Account], program: str) -> Iterator[Shim]:
    with fresh_shim(accounts["root"], program) as fresh:
        yield fresh


FILES = [name for name, writer in WRITERS.items() if writer.makes == "file" and not writer.beside]


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("login", "transfer to a tar")])
def test_a_file_that_is_replaced_keeps_its_owner_and_mode(
    root_shim: Shim,
    accounts: dict[str, Account],
    archive: str,
    registry_with_password: RegistryServer,
    name: str,
) -> None:
    """In a directory of its owner's, whom root works for."""
    shim, place = root_shim, made_place(root_shim, accounts, archive)
    mine = place.shared.parent / "mine"
    mine.mkdir()
    file = mine / "out.yaml"
    if name == "transfer to a tgz":
        assert call(shim, place, WRITERS[name], file, registry_with_password).code == 0
    else:
        file.write_text("{}")
    file.chmod(0o640)
    for path in (mine, file):
        os.chown(path, place.stranger.uid, place.stranger.gid)
    writer = WRITERS[name]
    if name == "transfer to a tgz":
        other = make_archive(mine / "other", component("example.com/b", "1"))
        writer = writer._replace(words=["ocm", "transfer", f"{other}//example.com/b:1", "FILE"])
    before = file.read_bytes()
    result = call(shim, place, writer, file, registry_with_password)
    assert result.code == 0, result
    about = file.stat()
    assert (about.st_uid, about.st_gid) == (place.stranger.uid, place.stranger.gid)
    assert stat.S_IMODE(about.st_mode) == 0o640
    assert file.read_bytes() != before

"""A damaged record of the store: it is named, what does not depend on it goes on, and nothing is lost by it."""

import glob
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from layouts import build_layout
from leftovers import work_directory
from pattern_images import PATTERN_METADATA
from script_images import METADATA
from tweed_shim.cli.main import main
from tweed_shim.errors import DamagedRecord
from tweed_shim.image import store
from tweed_shim.runtime import runs

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the images are made by root's fixtures")

SCRIPT = f"""#!/bin/sh
case $1 in
    metadata) {METADATA} ;;
    configure) cat > "$OUT_CONFIG/config" ;;
    setup) echo made > "$OUT_CONFIG/made"; echo 'USER: me' ;;
    teardown) cat "$IN_CONFIG/made" ;;
esac
"""
PATTERN_SCRIPT = f"""#!/bin/sh
case $1 in
    metadata) {PATTERN_METADATA}; echo 'files: [{{filename: a}}]' ;;
    provision) echo a > $OUTPUTS/a ;;
    bind) echo 'password: secret' ;;
    deprovision) cat $INPUTS ;;
esac
"""
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut short": lambda data: data[: len(data) // 2],
    "a list": lambda _: b"[1]",
    "an object without fields": lambda _: b"{}",
    "fields of other kinds": lambda data: data.replace(b'": "', b'": [5], "x": "').replace(b"[{", b"[5, {"),
    "zeros": lambda data: bytes(len(data)),
    "no text": lambda _: b"\xff\xfe\0",
    "nested without end": lambda _: b"[" * 100_000,
}
# Where the records are, by a pattern below the root, and what is said of a damaged one by each command.
CLOUD, INTERACTION = (
    "clouds/hurt/config/[0-9]*/record.json",
    "clouds/hurt/interactions/shop/[0-9]*/record.json",
)
INSTANCE, INPUTS, BINDING = (
    "instances/hurt/record.json",
    "instances/hurt/inputs.json",
    "instances/hurt/bindings/web/record.json",
)
REFERENCE, INDEX, RUN = "images/references/*hurt:latest.json", "images/index.json", "runs/1/run.json"


class Said(NamedTuple):
    code: int
    out: str
    err: str


class Store(NamedTuple):
    """A store with two images, two clouds and some runs; `call` runs a command on it."""

    root: str
    images: str
    call: Callable[..., Said]

    def image(self, name: str) -> str:
        return f"oci:{self.images}/{name}:latest"

    def commands(self) -> dict[str, tuple[str, ...]]:
        hurt, well, pattern = (self.image(name) for name in ("hurt", "well", "pattern"))
        return {
            "clouds": ("clouds",),
            "images": ("images",),
            "logs": ("logs",),
            "log": ("logs", "1"),
            "gc": ("gc",),
            "rm": ("rm", self.image("spare")),
            "pull": ("pull", well),
            "check hurt": ("exec", hurt, "check", "--cloud", "hurt"),
            "check well": ("exec", well, "check", "--cloud", "well"),
            "check never": ("exec", hurt, "check", "--cloud", "hurt", "--pull", "never"),
            "setup": ("exec", hurt, "setup", "--cloud", "hurt", "--interaction", "shop"),
            "teardown": ("exec", hurt, "teardown", "--cloud", "hurt", "--interaction", "shop"),
            "instances": ("instances",),
            "show": ("instances", "show", "hurt"),
            "show well": ("instances", "show", "well"),
            "credentials": ("instances", "credentials", "hurt", "web"),
            "clouds rm": ("clouds", "rm", "spare"),
            "provision": ("exec", pattern, "provision", "--no-backend", "--instance", "hurt"),
            "bind": ("exec", pattern, "bind", "--instance", "hurt", "--binding", "web"),
            "unbind": ("exec", pattern, "unbind", "--instance", "hurt", "--binding", "web"),
            "deprovision": ("exec", pattern, "deprovision", "--instance", "hurt"),
        }


@pytest.fixture(scope="module")
def populated() -> Iterator[tuple[str, str]]:
    with work_directory() as directory:
        root, images = os.path.join(directory, "store"), os.path.join(directory, "layouts")
        os.mkdir(images)

        def run(*arguments: str) -> None:
            umask = os.umask(0o022)
            try:
                assert main(["--root", root, "-q", *arguments]) == 0
            finally:
                os.umask(umask)

        config = os.path.join(directory, "config.json")
        Path(config).write_text("{}", encoding="utf-8")
        for name in ("hurt", "well", "spare", "pattern"):
            layout = f"{images}/{name}"
            script = PATTERN_SCRIPT if name == "pattern" else SCRIPT
            build_layout(layout, files={"entrypoint": script, "name": name}, compression="none")
            run("pull", f"oci:{layout}:latest")
        for name in ("hurt", "well"):
            image = f"oci:{images}/{name}:latest"
            run("exec", image, "configure", "--cloud", name, "--config", config)
            run("exec", image, "setup", "--cloud", name, "--interaction", "shop")
            pattern = ("exec", f"oci:{images}/pattern:latest")
            run(*pattern, "provision", "--no-backend", "--instance", name)
            run(*pattern, "bind", "--instance", name, "--binding", "web")
        run("exec", f"oci:{images}/well:latest", "configure", "--cloud", "spare", "--config", config)
        yield root, images


@pytest.fixture
def there(populated: tuple[str, str], capfd: pytest.CaptureFixture[str]) -> Iterator[Store]:
    root, images = populated

    def call(*arguments: str) -> Said:
        capfd.readouterr()
        code = main(["--root", root, *arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return Said(code, out, err)

    yield Store(root, images, call)
    # So that `logs`, which lists the newest, always lists the first.
    for number in os.listdir(os.path.join(root, "runs")):
        if number.isdigit() and int(number) > RUNS:
            shutil.rmtree(os.path.join(root, "runs", number))
    Path(root, "runs", "lock").write_text(f"{RUNS}", encoding="ascii")


class Kept(NamedTuple):
    """A file, and what was in it."""

    path: str
    data: bytes

    def hurt(self, how: str) -> bytes:
        damaged = DAMAGE[how](self.data)
        Path(self.path).write_bytes(damaged)
        return damaged


@pytest.fixture
def record(request: pytest.FixtureRequest, there: Store) -> Iterator[Kept]:
    [path] = glob.glob(os.path.join(glob.escape(there.root), request.param))
    kept = Kept(path, Path(path).read_bytes())
    yield kept
    Path(path).write_bytes(kept.data)


def names(root: str) -> set[str]:
    """All that must not be lost."""
    return {
        os.path.join(path, name)
        for place in ("clouds", "images", "instances", "rootfs")
        for path, directories, found in os.walk(os.path.join(root, place))
        for name in (*directories, *found)
    }


# By the record: the commands that refuse, and those that go on and name it. All others go on and need not name it.
EFFECTS: dict[str, tuple[set[str], set[str]]] = {
    CLOUD: ({"rm", "check hurt", "check never", "setup"}, {"clouds", "gc"}),
    INTERACTION: ({"rm", "setup", "teardown"}, {"clouds", "gc"}),
    REFERENCE: ({"rm", "check never"}, {"images", "gc"}),
    INDEX: ({"rm", "pull"}, {"gc"}),
    RUN: (set(), {"logs", "log"}),
    INSTANCE: (
        {"rm", "clouds rm", "show", "credentials", "provision", "bind", "unbind", "deprovision"},
        {"instances", "gc"},
    ),
    INPUTS: ({"deprovision"}, set()),
    BINDING: ({"credentials", "bind", "unbind"}, {"instances", "show"}),
}
# The runs of the populated store: of two images each, metadata, configure and setup; of a pattern, metadata, and for
# two instances provision and bind. One more configures the cloud `spare`.
RUNS = 12
# What changes the store where nothing is damaged.
CHANGING = {"teardown", "unbind", "deprovision", "clouds rm"}

# What would mend it, or is refused in a sound store too.
NOT_TRIED = {CLOUD: {"teardown"}, REFERENCE: {"check hurt", "setup", "teardown"}}
SOUND_REFUSALS = {"setup", "provision", "bind"}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("record", EFFECTS, indirect=True)
def test_a_damaged_record_is_named_and_nothing_is_lost(
    record: Kept, how: str, there: Store, request: pytest.FixtureRequest
) -> None:
    pattern = request.node.callspec.params["record"]
    if pattern == INDEX and how == "an object without fields":
        return  # an index that names nothing, as other tools write it
    refusing, naming = EFFECTS[pattern]
    damaged, before = record.hurt(how), names(there.root)
    for name, command in there.commands().items():
        if name in NOT_TRIED.get(pattern, ()) or (name in CHANGING and name not in refusing):
            continue
        # The reader is the same for all kinds of damage; a run takes its time.
        if command[0] == "exec" and how not in ("cut short", "a list"):
            continue
        if name == "rm" and name not in refusing:
            continue
        said = there.call(*command)
        if name in refusing:
            assert (said.code, said.out) == (125, ""), (name, said)
            assert said.err.count("\n") == 1
        elif name not in SOUND_REFUSALS:
            assert said.code == 0, (name, said)
        if name in refusing | naming:
            assert f"{record.path} is damaged (" in said.err, (name, said)
            assert "; " in said.err.partition("is damaged (")[2]
        assert Path(record.path).read_bytes() == damaged, name
        assert names(there.root) >= before, name


@pytest.mark.parametrize(
    ("pattern", "field", "value"),
    [
        (REFERENCE, "digest", "no digest"),
        (REFERENCE, "digest", "sha256:../../../../etc"),
        (REFERENCE, "top", "sha256:"),
        (REFERENCE, "top", "sha256:" + "\N{FULLWIDTH DIGIT ONE}" * 64),
        (REFERENCE, "reference", "oci:/another:latest"),
        (REFERENCE, "reference", "NO REFERENCE"),
        (REFERENCE, "platform", "linux/s390x"),
        (CLOUD, "digest", "sha256:../.."),
        (INTERACTION, "digest", ""),
    ],
)
def test_fsck_names_a_record_with_a_value_that_it_cannot_have(
    pattern: str, field: str, value: str, there: Store
) -> None:
    [path] = glob.glob(os.path.join(glob.escape(there.root), pattern))
    data, before = Path(path).read_bytes(), names(there.root)
    Path(path).write_text(json.dumps({**json.loads(data), field: value}))
    said, swept = there.call("fsck"), there.call("gc")
    Path(path).write_bytes(data)
    assert said.code == 1, said
    assert path in said.out + said.err
    # What is damaged is no reason to remove what it may have protected.
    assert swept.code == 0
    assert names(there.root) >= before


@pytest.mark.parametrize(
    ("pattern", "field", "value"),
    [
        (INSTANCE, "digest", "no digest"),
        (INSTANCE, "files", [5]),
        (INSTANCE, "files", [{"filename": 5}]),
        (INSTANCE, "files", {"filename": "a"}),
        (BINDING, "credentials", ["a"]),
        (BINDING, "credentials", "a"),
    ],
)
def test_a_field_of_an_instance_that_has_another_type_is_named(
    pattern: str, field: str, value: object, there: Store
) -> None:
    [path] = glob.glob(os.path.join(glob.escape(there.root), pattern))
    data = Path(path).read_bytes()
    Path(path).write_text(json.dumps({**json.loads(data), field: value}))
    said = there.call(*there.commands()["show" if pattern == INSTANCE else "credentials"])
    Path(path).write_bytes(data)
    assert (said.code, said.out) == (125, "")
    assert f"{path} is damaged (its field '{field}' is missing or of another kind); " in said.err


def test_an_instance_with_damaged_records_can_be_ended(there: Store) -> None:
    pattern = ("exec", there.image("pattern"))
    for name, record, command in (
        ("bound", "bindings/web/record.json", (*pattern, "deprovision", "--instance", "bound")),
        ("forgotten", "record.json", ("instances", "forget", "forgotten")),
        ("lost", "inputs.json", ("instances", "forget", "lost")),
    ):
        assert there.call(*pattern, "provision", "--no-backend", "--instance", name).code == 0
        assert there.call(*pattern, "bind", "--instance", name, "--binding", "web").code == 0
        os.truncate(os.path.join(there.root, "instances", name, record), 0)
        said = there.call(*command)
        assert said.code == 0, said
        assert sorted(os.listdir(os.path.join(there.root, "instances"))) == ["hurt", "well"]


def test_the_healthy_rest_is_listed(there: Store) -> None:
    for pattern, command, listed in (
        (CLOUD, "clouds", "well"),
        (REFERENCE, "images", "well:latest"),
        (RUN, "logs", "configure"),
        (INSTANCE, "instances", "well"),
        (BINDING, "instances", "well"),
    ):
        [path] = glob.glob(os.path.join(glob.escape(there.root), pattern))
        data = Path(path).read_bytes()
        Path(path).write_bytes(b"[1]")
        assert listed in there.call(command).out
        Path(path).write_bytes(data)


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_reference_is_made_again_by_the_next_pull(how: str, there: Store) -> None:
    [path] = glob.glob(os.path.join(glob.escape(there.root), REFERENCE))
    data = Path(path).read_bytes()
    Kept(path, data).hurt(how)
    said = there.call(*there.commands()["check hurt"])
    assert said.code == 0
    assert f"{path} is damaged (" in said.err
    assert f"tweed-shim pull {there.image('hurt')}" in said.err
    assert store.look_up(there.root, there.image("hurt"), "") is not None


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("cache", ["image.json", "metadata.json"])
def test_a_damaged_cache_is_made_again(cache: str, how: str, there: Store) -> None:
    for path in glob.glob(os.path.join(glob.escape(there.root), "rootfs", "*", cache)):
        Kept(path, Path(path).read_bytes()).hurt(how)
    said = there.call("exec", there.image("hurt"), "metadata")
    assert said.code == 0, said
    assert 'name: "n"' in said.out
    assert there.call(*there.commands()["check hurt"]).code == 0


@pytest.mark.parametrize("damage", ["dangling", "file"])
@pytest.mark.parametrize("place", ["config", "interactions/shop"])
def test_a_damaged_link_to_what_is_in_force_lets_nothing_be_swept(
    place: str, damage: str, there: Store
) -> None:
    link = os.path.join(there.root, "clouds/hurt", place, "current")
    target, before = os.readlink(link), names(there.root)
    os.unlink(link)
    if damage == "dangling":
        os.symlink("999", link)
    else:
        Path(link).write_bytes(b"")
    commands = there.commands()
    for name in ("gc", "clouds", "check hurt" if place == "config" else "teardown"):
        said = there.call(*commands[name])
        assert f"{link} is damaged (" in said.err, name
        assert (said.code == 0) == (name in ("gc", "clouds"))
        assert names(there.root) >= before
    assert there.call(*commands["check well"]).code == 0
    os.unlink(link)
    os.symlink(target, link)
    assert there.call(*commands["check hurt"]).code == 0


@pytest.mark.parametrize("pattern", [CLOUD, INTERACTION])
def test_a_record_that_is_a_pipe_is_named_and_nobody_waits(pattern: str, there: Store) -> None:
    [path] = glob.glob(os.path.join(glob.escape(there.root), pattern))
    os.rename(path, f"{path}.away")
    os.mkfifo(path, 0o600)
    try:
        assert f"{path} is damaged (it is no regular file)" in there.call("clouds").err
    finally:
        os.rename(f"{path}.away", path)


def test_half_a_surrogate_in_a_record_is_shown_as_an_escape(there: Store) -> None:
    [path] = glob.glob(os.path.join(glob.escape(there.root), CLOUD))
    whole = Path(path).read_bytes()
    Path(path).write_text(json.dumps({**json.loads(whole), "image": "\ud800"}), encoding="utf-8")
    said = there.call("clouds")
    Path(path).write_bytes(whole)
    assert said.code == 0
    assert "\\ud800" in said.out


def test_the_next_configure_and_setup_replace_what_is_damaged(there: Store) -> None:
    hurt, config = there.image("hurt"), os.path.join(os.path.dirname(there.root), "config.json")
    for pattern, command in (
        (CLOUD, ("configure", "--config", config, "--replace")),
        (INTERACTION, ("setup", "--interaction", "shop", "--replace")),
    ):
        [path] = glob.glob(os.path.join(glob.escape(there.root), pattern))
        Path(path).write_bytes(b"")
        said = there.call("exec", hurt, command[0], "--cloud", "hurt", *command[1:])
        assert said.code == 0, said
        assert "is damaged" not in there.call("clouds").err


def test_an_index_that_was_moved_away_is_made_again_of_what_the_store_knows(there: Store) -> None:
    path = os.path.join(there.root, INDEX)
    os.rename(path, f"{path}.away")
    assert f"{path} is damaged (it is missing)" in there.call("gc").err
    assert there.call("pull", there.image("well")).code == 0
    text = Path(path).read_text(encoding="utf-8")
    assert all(there.image(name) in text for name in ("hurt", "well", "spare"))
    os.unlink(f"{path}.away")


@pytest.mark.parametrize("counter", [b"", b"[1]"])
def test_a_lost_counter_of_runs_goes_on_after_the_newest(counter: bytes, there: Store) -> None:
    place = os.path.join(there.root, "runs")
    newest = max(int(name) for name in os.listdir(place) if name.isdigit())
    shutil.rmtree(os.path.join(place, "2"), ignore_errors=True)
    Path(place, "lock").write_bytes(counter)
    assert runs.begin(there.root).number == newest + 1
    shutil.rmtree(os.path.join(place, str(newest + 1)))


def test_a_text_that_ends_too_early_is_refused_where_nothing_has_imported_json(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_bytes(b'{"a": ')
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from tweed_shim.base import state_files\n"
        "try: state_files.read('record.json', {}, mend='')\n"
        "except state_files.DamagedRecord as error: print(error)\n"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            program,
            os.path.abspath(os.path.dirname(os.path.dirname(runs.__file__)) + "/.."),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        check=True,
    )
    assert b"is damaged (it is not JSON)" in done.stdout
    assert issubclass(DamagedRecord, Exception)

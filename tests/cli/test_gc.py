"""`gc` and `rm` through the program: what they remove, and what they keep."""

import fcntl
import json
import os
import shutil
import subprocess
import zlib
from typing import Any

import pytest

from accounts import AS_ONE_USER, Account
from installed import Shim, done, fresh_shim
from layouts import File, Layer, LayoutWriter, busybox_files
from script_images import METADATA, ScriptImage
from tweed_shim import Shim as Api
from tweed_shim.runtime.runs import MOST_RUNS

SCRIPT = f"""case $1 in
metadata) {METADATA} ;;
configure) cat > "$OUT_CONFIG/config" ;;
setup) echo "A: b" ;;
esac"""


class Tag:
    """An image reference whose meaning moves."""

    def __init__(self, place: str) -> None:
        self._writer = LayoutWriter(place)
        self.reference = f"oci:{place}:latest"

    def move(self, text: str, *, owner: int = 0, wait: bool = False) -> str:
        """Let the tag mean another image; returns its digest. wait: its operations go on until they are ended."""
        body = "echo up >&2; exec sleep 1000" if wait else SCRIPT
        script = File(f"#!/bin/sh\n# {text}\n{body}\n".encode(), mode=0o755)
        closed = File(mode=0o700, uid=owner, kind=b"5")
        hidden = File(b"x" * 100_000, mode=0o600, uid=owner)
        extra = {"closed": closed, "closed/file": hidden} if owner else {}
        files = {**busybox_files(), "entrypoint": script, **extra}
        image = self._writer.image([Layer(files, "none")], {"Entrypoint": ["/entrypoint"]})
        self._writer.tag("latest", image)
        digest: str = image["digest"]
        return digest


@pytest.fixture
def tag(public_directory: str, request: pytest.FixtureRequest) -> Tag:
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    return Tag(os.path.join(public_directory, name))


def gc(shim: Shim, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(done(shim.run("gc", "--json", *options)).out)
    return found


def names(removed: list[dict[str, Any]], kind: str) -> list[str]:
    return [each["name"] for each in removed if each["kind"] == kind]


def trees(shim: Shim) -> set[str]:
    return {f"sha256:{name}" for name in os.listdir(os.path.join(shim.root, "rootfs"))}


def everything(root: str) -> set[str]:
    return {os.path.join(path, name) for path, names, files in os.walk(root) for name in [*names, *files]}


def test_gc_removes_images_of_moved_tags_the_oldest_first_and_keep_last_keeps_the_newest(
    shim: Shim, tag: Tag
) -> None:
    digests = []
    for number in range(4):
        digests.append(tag.move(f"version {number}"))
        done(shim.run("pull", tag.reference))
    before = everything(shim.root)
    would = gc(shim, "--dry-run", "--keep-last", "1")
    assert everything(shim.root) == before
    assert names(would, "image") == digests[:2]
    assert gc(shim, "--keep-last", "1") == would
    assert trees(shim) == set(digests[2:])
    # Manifest, configuration and layer of each.
    assert len(names(would, "blob")) == 2 * 3
    assert gc(shim, "--keep-last", "1") == []
    assert names(gc(shim), "image") == [digests[2]]
    assert len(os.listdir(os.path.join(shim.root, "images", "blobs", "sha256"))) == 3
    assert os.listdir(os.path.join(shim.root, "tmp")) == []
    assert done(shim.run("exec", tag.reference, "metadata", "--pull", "never")).out


def test_gc_prints_a_line_for_each_item_with_its_size_on_disk(shim: Shim, tag: Tag) -> None:
    digest = tag.move("one", owner=65000 if shim.account.kind == "range" else 0)
    done(shim.run("pull", tag.reference))
    directory = os.path.join(shim.root, "rootfs", digest.removeprefix("sha256:"))
    told = subprocess.run(["du", "-sk", directory], capture_output=True, check=True).stdout.split()[0]
    tag.move("two")
    done(shim.run("pull", tag.reference))
    would = gc(shim, "--dry-run")
    assert abs(would[0]["size"] // 1024 - int(told)) < 8
    result = done(shim.run("gc"))
    lines = result.out.decode().splitlines()
    assert [line.split()[0] for line in lines] == ["image", "blob", "blob", "blob"]
    assert [line.split()[-1] for line in lines] == [each["name"] for each in would]
    assert result.err.startswith(b"tweed-shim: ")
    assert b"MB freed" in result.err
    assert not os.path.exists(directory)


def test_gc_keeps_the_images_of_clouds_and_interactions(shim: Shim, tag: Tag) -> None:
    configured = tag.move("configured")
    done(shim.run("exec", tag.reference, "configure", "--cloud", "prod", stdin=b"{}"))
    set_up = tag.move("set up")
    done(shim.run("exec", tag.reference, "setup", "--cloud", "prod", "--interaction", "shop"))
    current = tag.move("current")
    done(shim.run("pull", tag.reference))
    assert gc(shim) == []
    assert trees(shim) == {configured, set_up, current}
    done(shim.run("exec", tag.reference, "teardown", "--cloud", "prod", "--interaction", "shop"))
    assert names(gc(shim), "image") == [set_up]
    done(shim.run("clouds", "rm", "prod"))
    assert names(gc(shim), "image") == [configured]
    assert trees(shim) == {current}


def test_an_image_that_a_cloud_or_an_interaction_needs_is_not_removed_by_name(shim: Shim, tag: Tag) -> None:
    tag.move("one")
    done(shim.run("exec", tag.reference, "configure", "--cloud", "prod", stdin=b"{}"))
    before = everything(shim.root)
    refused = shim.run("rm", tag.reference)
    assert refused.code == 125
    assert b"in use by cloud 'prod'" in refused.err
    assert everything(shim.root) == before
    tag.move("two")
    done(shim.run("exec", tag.reference, "setup", "--cloud", "prod", "--interaction", "shop"))
    refused = shim.run("rm", tag.reference)
    assert refused.code == 125
    assert b"in use by interaction 'shop' of cloud 'prod'" in refused.err
    done(shim.run("exec", tag.reference, "teardown", "--cloud", "prod", "--interaction", "shop"))
    done(shim.run("rm", tag.reference))
    assert done(shim.run("images", "--json")).out == b"[]\n"


def test_gc_removes_the_leftovers_of_crashes_and_nothing_else(shim: Shim, tag: Tag) -> None:
    digest = tag.move("one").removeprefix("sha256:")
    done(shim.run("exec", tag.reference, "configure", "--cloud", "prod", stdin=b"{}"))
    whole = everything(shim.root)
    left = {
        "file": [
            "version.new-0",
            "images/index.json.new-0",
            "images/references/a.json.new-0",
            f"images/blobs/sha256/{digest}.new-0",
            f"rootfs/{digest}/metadata.json.new-0",
            "runs/1/run.json.new-0",
        ],
        "cloud": ["clouds/prod/config/draft-0/data/file", "clouds/prod/config/current.new-0"],
        "work": ["tmp/work-0/file", "tmp/lock-nobody"],
    }
    for path in (path for paths in left.values() for path in paths):
        full = os.path.join(shim.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="ascii") as file:
            file.write("left")
    os.makedirs(os.path.join(shim.root, "clouds", "never", "config"))
    for path, directories, files in os.walk(shim.root):
        for name in [*directories, *files]:
            if os.path.join(path, name) not in whole:
                os.chown(os.path.join(path, name), shim.account.uid, shim.account.gid)
    removed = gc(shim)
    assert sorted(names(removed, "file")) == sorted(left["file"])
    assert sorted(names(removed, "cloud")) == [
        "clouds/never",
        "clouds/prod/config/current.new-0",
        "clouds/prod/config/draft-0",
    ]
    assert sorted(names(removed, "work")) == ["tmp/lock-nobody", "tmp/work-0"]
    assert everything(shim.root) == whole
    assert gc(shim) == []


def test_gc_keeps_a_file_that_is_being_written(shim: Shim, tag: Tag) -> None:
    tag.move("one")
    done(shim.run("pull", tag.reference))
    path = os.path.join(shim.root, "images", "index.json.new-0")
    with open(path, "wb") as file:
        os.chown(path, shim.account.uid, shim.account.gid)
        fcntl.flock(file, fcntl.LOCK_EX)
        assert gc(shim) == []
    assert names(gc(shim), "file") == ["images/index.json.new-0"]


def test_gc_removes_old_runs_and_the_control_groups_of_dead_ones(
    accounts: dict[str, Account], program: str, tag: Tag
) -> None:
    with fresh_shim(accounts["root"], program) as shim:
        tag.move("one")
        done(shim.run("exec", tag.reference, "metadata"))
        for number in ("2", str(MOST_RUNS + 1), str(MOST_RUNS + 2)):
            os.mkdir(os.path.join(shim.root, "runs", number))
        name = f"tweed-shim-{zlib.crc32(os.fsencode(os.path.realpath(shim.root))):08x}-2"
        hierarchy = "/sys/fs/cgroup/pids" if os.path.isdir("/sys/fs/cgroup/pids") else "/sys/fs/cgroup"
        os.mkdir(os.path.join(hierarchy, name))
        try:
            removed = gc(shim)
        finally:
            if os.path.isdir(os.path.join(hierarchy, name)):
                os.rmdir(os.path.join(hierarchy, name))
        assert names(removed, "run") == ["runs/1", "runs/2"]
        assert names(removed, "cgroup") == [os.path.join(hierarchy, name)]
        assert gc(shim) == []


def test_the_api_collects_garbage_and_returns_it(
    accounts: dict[str, Account], program: str, tag: Tag
) -> None:
    with fresh_shim(accounts["root"], program) as shim:
        api = Api(shim.root)
        old = tag.move("old")
        api.pull(tag.reference)
        tag.move("new")
        api.pull(tag.reference)
        would = api.gc(dry_run=True)
        assert (would[0].kind, would[0].name) == ("image", old)
        assert api.gc(keep_last=1) == []
        assert api.gc() == would


def test_gc_removes_the_cloud_of_a_first_configure_that_failed(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(f"case $1 in metadata) {METADATA};; *) exit 3;; esac")
    assert shim.run("exec", image, "configure", "--cloud", "sad", stdin=b"{}").code == 3
    assert names(gc(shim), "cloud") == ["clouds/sad"]
    assert os.listdir(os.path.join(shim.root, "clouds")) == []


def test_gc_removes_an_index_entry_that_a_crash_left_with_its_blobs(shim: Shim, tag: Tag) -> None:
    digest = tag.move("one")
    done(shim.run("pull", tag.reference))
    references = os.path.join(shim.root, "images", "references")
    [record] = os.listdir(references)
    os.unlink(os.path.join(references, record))
    removed = gc(shim)
    assert names(removed, "reference") == [tag.reference]
    assert names(removed, "image") == [digest]
    assert os.listdir(os.path.join(shim.root, "images", "blobs", "sha256")) == []


def test_gc_keeps_the_image_of_a_running_operation(shim: Shim, tag: Tag) -> None:
    # It runs until it is asked to end.
    running = tag.move("first", wait=True)
    with shim.start("exec", tag.reference, "metadata") as process:
        assert process.stderr is not None
        while b"up" not in process.stderr.readline():
            assert process.poll() is None
        current = tag.move("second")
        done(shim.run("pull", tag.reference))
        assert gc(shim) == []
        assert trees(shim) == {running, current}
        process.terminate()
        process.communicate()
    assert names(gc(shim), "image") == [running]


def test_gc_runs_beside_operations_and_pulls(shim: Shim, tag: Tag) -> None:
    tag.move("0")
    done(shim.run("exec", tag.reference, "configure", stdin=b"{}"))
    assert gc(shim) == []
    for number in range(1, 5):
        digest = tag.move(str(number))
        with (
            shim.start("pull", tag.reference) as pull,
            shim.start("exec", tag.reference, "setup", "--interaction", f"i{number}") as setup,
            shim.start("gc") as first,
            shim.start("gc", "--json") as second,
        ):
            ended = [(process.communicate(), process.returncode) for process in (pull, setup, first, second)]
        assert [code for _, code in ended] == [0] * 4, ended
        assert digest in trees(shim)
        assert setup.returncode == 0
    for number in range(1, 5):
        done(shim.run("exec", tag.reference, "teardown", "--interaction", f"i{number}"))
    gc(shim)
    assert len(trees(shim)) == 2  # the cloud's and the tag's
    assert done(shim.run("exec", tag.reference, "check", "--pull", "never")).code == 0


@AS_ONE_USER
def test_a_store_of_another_version_is_refused_by_every_command_and_not_touched(shim: Shim, tag: Tag) -> None:
    tag.move("one")
    done(shim.run("exec", tag.reference, "configure", stdin=b"{}"))
    with open(os.path.join(shim.root, "version"), "w", encoding="ascii") as file:
        file.write("2\n")
    before = everything(shim.root)
    for command in (
        ("pull", tag.reference),
        *(("exec", tag.reference, name) for name in ("metadata", "configure", "check", "setup", "teardown")),
        ("exec", tag.reference, "metadata", "--pull", "always"),
        ("exec", tag.reference, "metadata", "--pull", "never"),
        ("spec", tag.reference, "check"),
        ("images",),
        ("rm", tag.reference),
        ("gc",),
        ("gc", "--dry-run"),
        ("clouds",),
        ("clouds", "rm", "default"),
        ("clouds", "forget", "default"),
        ("clouds", "forget", "default", "default"),
        ("environment",),
        ("logs",),
        ("logs", "1"),
    ):
        refused = shim.run(*command, stdin=b"{}")
        assert refused.code == 125, command
        [line] = refused.err.decode().splitlines()
        assert "has version '2'" in line
        assert "another --root" in line
    assert everything(shim.root) == before


def test_gc_without_a_store_does_nothing(shim: Shim) -> None:
    assert gc(shim) == []
    assert not os.path.exists(shim.root)


@pytest.mark.parametrize("number", ["-1", "many", "1.5"])
def test_an_invalid_keep_last_is_refused(shim: Shim, number: str) -> None:
    assert shim.run("gc", f"--keep-last={number}").code == 2


def test_gc_reports_what_cannot_be_removed_and_removes_the_rest(
    accounts: dict[str, Account], program: str
) -> None:
    with fresh_shim(accounts["single"], program) as shim:
        stuck, loose = (os.path.join(shim.root, "tmp", name) for name in ("work-stuck", "work-loose"))
        writer = LayoutWriter(os.path.join(os.path.dirname(shim.root), "layout"))
        writer.tag("latest", writer.image([Layer(busybox_files(), "none")]))
        done(shim.run("pull", f"oci:{writer.path}"))
        for path in (stuck, loose):
            os.mkdir(path)
            os.chown(path, shim.account.uid, shim.account.gid)
        # Root's, in a directory of root's: nobody else can remove it.
        os.mkdir(os.path.join(stuck, "roots"))
        os.mkdir(os.path.join(stuck, "roots", "own"))
        result = shim.run("gc")
        assert result.code == 125
        assert b"cannot be removed" in result.err
        assert not os.path.exists(loose)
        shutil.rmtree(os.path.join(shim.root, "tmp"))

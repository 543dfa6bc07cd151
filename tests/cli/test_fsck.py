"""`fsck` reports and repairs damage in the store, beside running operations and whatever ids files have."""

import json
import os
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from accounts import Account
from installed import Shim, done, fresh_shim
from layouts import File, build_layout
from layouts import directory as empty_directory
from script_images import METADATA
from tweed_shim import Shim as Api

SCRIPT = f"""#!/bin/sh
case $1 in
metadata) {METADATA} ;;
configure) cat > "$OUT_CONFIG/config" ;;
check) echo up; read -r line < /data/file; exec sleep 1000 ;;
setup) echo "A: b" ;;
esac
"""


@pytest.fixture
def image(shim: Shim, public_directory: str, request: pytest.FixtureRequest) -> str:
    """An image with a directory that only one of its users may read."""
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    owner = 0 if shim.account.kind == "single" else 1000
    layout = os.path.join(public_directory, name)
    build_layout(
        layout,
        files={
            "entrypoint": SCRIPT,
            "data": empty_directory(),
            **{f"data/{name}": File(b"content") for name in ("file", "gone", "mode", "kind")},
            "data/link": File(b"", kind=b"2", link="file"),
            "closed": File(mode=0o700, uid=owner, kind=b"5"),
            "closed/file": File(b"hidden", mode=0o600, uid=owner),
        },
        compression="none",
    )
    reference = f"oci:{layout}"
    done(shim.run("pull", "-q", reference))
    return reference


def fsck(shim: Shim, *options: str, code: int = 1) -> list[dict[str, Any]]:
    result = shim.run("fsck", "--json", *options)
    assert result.code == code, result
    found: list[dict[str, Any]] = json.loads(result.out)
    return found


def tree(shim: Shim) -> str:
    [name] = os.listdir(os.path.join(shim.root, "rootfs"))
    return os.path.join(shim.root, "rootfs", name)


def data(shim: Shim, name: str) -> str:
    return os.path.join(tree(shim), "rootfs", "data", name)


def blob_paths(shim: Shim) -> list[str]:
    place = os.path.join(shim.root, "images", "blobs", "sha256")
    return [os.path.join(place, name) for name in os.listdir(place)]


def flip(path: str) -> None:
    """Change a byte; size and time stay."""
    about = os.stat(path)
    with open(path, "r+b") as file:
        byte = file.read(1)
        file.seek(0)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def add(path: str) -> None:
    with open(f"{path}-more", "w", encoding="ascii"):
        pass


def relink(path: str) -> None:
    about = os.lstat(path)
    os.unlink(path)
    os.symlink("elsewhere", path)
    os.chown(path, about.st_uid, about.st_gid, follow_symlinks=False)


def replace_by_directory(path: str) -> None:
    os.unlink(path)
    os.mkdir(path)


TREE_DAMAGE: dict[str, tuple[Callable[[str], None], str]] = {
    "file": (flip, "/data/file its content differs"),
    "gone": (os.unlink, "/data/gone is missing"),
    "mode": (lambda path: os.chmod(path, 0o777), "/data/mode has the mode 0777 instead of 0644"),
    "kind": (replace_by_directory, "/data/kind is a directory instead of a file"),
    "link": (relink, "/data/link leads elsewhere"),
    "": (lambda path: add(os.path.join(path, "x")), "/data/x-more is not of the image"),
}


def test_fsck_reports_nothing_for_an_undamaged_store(shim: Shim, image: str) -> None:
    result = done(shim.run("fsck"))
    assert result.out == b""
    assert b"nothing is damaged" in result.err
    assert fsck(shim, code=0) == []
    assert os.listdir(os.path.join(shim.root, "tmp")) == []
    assert done(shim.run("exec", image, "metadata")).out


@pytest.mark.parametrize("name", TREE_DAMAGE)
def test_fsck_reports_a_damaged_tree_and_unpacks_it_again(shim: Shim, image: str, name: str) -> None:
    damage, problem = TREE_DAMAGE[name]
    damage(data(shim, name))
    [found] = fsck(shim)
    assert (found["kind"], found["problem"], found["repaired"]) == ("image", problem, False)
    assert found["image"].startswith(image)
    assert "fsck --repair" in found["mend"]
    result = done(shim.run("fsck", "--repair"))
    assert f"{problem}; repaired\n".encode() in result.out
    assert fsck(shim, code=0) == []
    assert os.listdir(os.path.join(shim.root, "tmp")) == []


def test_fsck_checks_files_that_the_caller_cannot_read(shim: Shim, image: str) -> None:
    # The caller has no right to it; root of the host changes it here.
    flip(os.path.join(tree(shim), "rootfs", "closed", "file"))
    [found] = fsck(shim)
    assert found["problem"] == "/closed/file its content differs"
    assert [each["repaired"] for each in fsck(shim, "--repair", code=0)] == [True]
    assert fsck(shim, code=0) == []
    assert done(shim.run("exec", image, "metadata")).out


@pytest.mark.parametrize("damage", [flip, os.unlink])
def test_a_damaged_or_missing_blob_is_fetched_again(
    shim: Shim, image: str, damage: Callable[[str], None]
) -> None:
    paths = blob_paths(shim)
    for path in paths:
        damage(path)
    blobs = [each for each in fsck(shim) if each["kind"] == "blob"]
    # Of a manifest that is gone nobody knows what it named.
    assert {each["name"].partition(":")[2] for each in blobs} <= {os.path.basename(path) for path in paths}
    repaired = fsck(shim, "--repair", code=0)
    assert all(each["repaired"] for each in repaired)
    assert sorted(blob_paths(shim)) == sorted(paths)
    assert fsck(shim, code=0) == []


def test_fsck_reports_what_cannot_be_fetched_again_and_repairs_the_rest(shim: Shim, image: str) -> None:
    largest = max(blob_paths(shim), key=os.path.getsize)
    flip(largest)
    layout = image.removeprefix("oci:")
    os.rename(layout, f"{layout}-away")
    try:
        found = {each["kind"]: each for each in fsck(shim, "--repair")}
        assert not found["blob"]["repaired"]
        assert layout in found["blob"]["mend"]
        assert found["image"]["problem"].startswith("cannot be checked (")
        # The image still runs, as it is unpacked.
        assert done(shim.run("exec", image, "metadata", "--pull", "never")).out
    finally:
        os.rename(f"{layout}-away", layout)
    assert fsck(shim, "--repair", code=0)
    assert fsck(shim, code=0) == []


def test_fsck_repairs_an_image_of_a_cloud_but_not_a_running_one(shim: Shim, image: str) -> None:
    done(shim.run("exec", image, "configure", stdin=b"{}"))
    os.unlink(data(shim, "gone"))
    with shim.start("exec", image, "check") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        before = os.stat(tree(shim))
        [found] = fsck(shim, "--repair")
        assert not found["repaired"]
        assert "in use by a running operation" in found["mend"]
        assert os.path.samestat(before, os.stat(tree(shim)))
        process.terminate()
        process.communicate()
    assert [each["repaired"] for each in fsck(shim, "--repair", code=0)] == [True]
    assert done(shim.run("exec", image, "setup")).out


def test_a_tree_without_its_record_or_its_root_is_unpacked_again(shim: Shim, image: str) -> None:
    with open(os.path.join(tree(shim), "image.json"), "wb") as file:
        file.write(b"[1]")
    [found] = fsck(shim, "--repair", code=0)
    assert found["problem"] == "its image.json is damaged"
    shutil.rmtree(os.path.join(tree(shim), "rootfs"))
    [found] = fsck(shim, "--repair", code=0)
    assert found["problem"] == "/ is no directory"
    assert fsck(shim, code=0) == []


def test_a_damaged_record_is_named(shim: Shim, image: str) -> None:
    done(shim.run("exec", image, "configure", stdin=b"{}"))
    link = os.path.join(shim.root, "clouds", "default", "config", "current")
    path = os.path.join(link, "record.json")
    with open(path, "wb"):
        pass
    [found] = fsck(shim, "--repair")
    assert (found["kind"], found["name"]) == ("record", os.path.join(os.path.realpath(link), "record.json"))
    assert found["problem"] == "it is empty"
    assert "configure cloud 'default' again" in found["mend"]


def test_the_api_returns_the_damage_of_a_store(
    accounts: dict[str, Account], program: str, demo_image: str
) -> None:
    with fresh_shim(accounts["root"], program) as shim:
        api = Api(shim.root)
        image = api.pull(f"oci:{demo_image}")
        assert api.fsck() == []
        os.unlink(os.path.join(image.rootfs, "bin", "sh"))
        [found] = api.fsck()
        assert (found.kind, found.name, found.repaired) == ("image", image.digest, False)
        assert [each.repaired for each in api.fsck(repair=True)] == [True]
        assert api.fsck() == []

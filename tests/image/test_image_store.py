"""The store of images: look-up, list, removal, faults of the disk, and what other tools see of it."""

import glob
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import layouts
from layouts import Layer, LayoutWriter
from tweed_shim.base import files
from tweed_shim.errors import ConfigError, DamagedRecord, HostError, StateError
from tweed_shim.host import workdirs
from tweed_shim.host.userns import detect
from tweed_shim.image import layout as image_layouts
from tweed_shim.image import removal, store
from tweed_shim.image.pull import obtain

SHIM = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(store.__file__))))
MANY = 200
OTHER = {"os": "linux", "architecture": "s390x"}


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "root")


@pytest.fixture
def layout(tmp_path: Path) -> LayoutWriter:
    return LayoutWriter(str(tmp_path / "layout"))


def add(root: str, layout: LayoutWriter, tag: str, *texts: str) -> store.Image:
    """An image in the store with a layer for each text."""
    layout.tag(tag, layout.image([Layer({"file": text}) for text in texts or (tag,)]))
    return obtain(root, f"oci:{layout.path}:{tag}")


def child(root: str, reference: str) -> subprocess.Popen[str]:
    """A process that obtains an image and prints its steps."""
    code = (
        "import functools, sys; sys.path[:0] = sys.argv[1].split(':'); from tweed_shim.image import pull\n"
        "pull.obtain(sys.argv[2], sys.argv[3], report=functools.partial(print, flush=True))"
    )
    path = ":".join([SHIM, *filter(os.path.isdir, sys.path)])
    command = [sys.executable, "-I", "-c", code, path, root, reference]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def blobs(root: str) -> set[str]:
    return {f"sha256:{name}" for name in os.listdir(f"{root}/images/blobs/sha256")}


# Look-up


def test_an_image_is_found_by_any_form_of_its_reference_and_not_before_it_is_there(
    root: str, layout: LayoutWriter
) -> None:
    assert store.find(root, f"oci:{layout.path}:one") is None
    assert not os.path.exists(root)
    image = add(root, layout, "one")
    assert store.find(root, f"oci:{layout.path}:one") == image
    assert store.find(root, f"oci:{layout.path}/../layout/:one") == image
    assert store.find(root, f"oci:{layout.path}:two") is None
    assert store.find(root, f"oci:{layout.path}:one", "linux/s390x") is None


def test_an_image_that_was_unpacked_for_other_ids_is_not_found_for_these_and_is_unpacked_again(
    root: str, layout: LayoutWriter
) -> None:
    image = add(root, layout, "one")
    about = json.loads(Path(image.directory, "image.json").read_bytes())
    about["ids"] = "single 0,1234,1 0,1234,1"
    Path(image.directory, "image.json").write_text(json.dumps(about))
    before = os.stat(image.directory).st_ino
    assert store.find(root, image.reference, idmap=detect()) is None
    assert store.find(root, image.reference) == image
    with files.held_directory(image.directory):
        assert obtain(root, image.reference) == image
        assert os.stat(image.directory).st_ino != before
        # The tree of before may still be in use by somebody.
        assert len(os.listdir(f"{root}/tmp")) == 1
    workdirs.sweep_tmp(root)
    assert os.listdir(f"{root}/tmp") == []


def test_a_look_up_reads_as_many_files_whatever_the_store_holds(root: str, layout: LayoutWriter) -> None:
    image = add(root, layout, "one")
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); from tweed_shim.image import store\n"
        "opened = []\n"
        "reads = ('open', 'os.scandir', 'os.listdir')\n"
        "sys.addaudithook(lambda event, args: opened.append(args[0]) if event in reads else None)\n"
        "assert store.find(sys.argv[2], sys.argv[3]); print(len(opened))"
    )

    def files_read() -> int:
        command = [sys.executable, "-I", "-c", code, SHIM, root, image.reference]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    alone = files_read()
    for number in range(MANY):
        name = f"example.org/many/image:{number}"
        store.write_record(root, store.Pulled(name, "", "", image.digest, image.digest, 1, 1.0))
    assert files_read() == alone <= 3
    assert len(store.images(root)) == MANY + 1


def test_a_warm_image_needs_none_of_the_slow_imports(root: str, layout: LayoutWriter) -> None:
    image = add(root, layout, "one")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from tweed_shim.image import pull\n"
        "pull.obtain(sys.argv[2], sys.argv[3]); print(*sys.modules)"
    )
    command = [sys.executable, "-I", "-S", "-c", code, SHIM, root, image.reference]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    slow = {
        *(
            "dataclasses",
            "pathlib",
            "subprocess",
            "tempfile",
            "shutil",
            "requests",
            "oras",
            "yaml",
            "jsonschema",
        ),
        *("threading", "concurrent", "logging", "ctypes", "inspect", "datetime", "socket", "hashlib"),
        *("tarfile", "tqdm", "zstandard", "tweed_shim.image.fetch", "tweed_shim.image.unpack"),
    }
    assert not slow & set(done.stdout.split())


def test_a_long_reference_has_a_record_too(root: str, tmp_path: Path) -> None:
    place = tmp_path / ("d" * 120) / ("é" * 100)
    os.makedirs(place)
    image = add(root, LayoutWriter(str(place)), "one")
    assert store.find(root, image.reference) == image
    removal.remove(root, [image.reference])
    assert store.images(root) == []


def test_a_record_that_is_no_longer_readable_is_named_and_made_again(root: str, layout: LayoutWriter) -> None:
    image = add(root, layout, "one")
    path, said = store.record_path(root, image.reference, ""), list[str]()
    Path(path).write_bytes(b'{"reference": ')
    with pytest.raises(DamagedRecord, match="is damaged"):
        store.find(root, image.reference)
    assert store.images(root, said.append) == []
    assert [path in each for each in said] == [True]
    assert obtain(root, image.reference) == image
    assert store.find(root, image.reference) == image


# Other tools


def test_other_tools_read_the_store_as_an_oci_layout(root: str, layout: LayoutWriter, tmp_path: Path) -> None:
    image = add(root, layout, "one")
    name = image_layouts.ref_name(image.reference, "")
    listed = subprocess.run(
        ["umoci", "ls", "--layout", f"{root}/images"], check=True, capture_output=True, text=True
    )
    assert listed.stdout.split() == [name]
    inspected = subprocess.run(
        ["skopeo", "inspect", "--format", "{{.Digest}}", f"oci:{root}/images:{name}"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert inspected.stdout.strip() == image.digest
    subprocess.run(
        ["umoci", "raw", "unpack", "--image", f"{root}/images:{name}", str(tmp_path / "tree")], check=True
    )
    assert (tmp_path / "tree/file").read_text() == "one"


@pytest.mark.parametrize(
    ("reference", "platform", "name"),
    [
        ("docker.io/library/redis:latest", "", "docker.io/library/redis:latest"),
        ("localhost:5000/a/b:1@sha256:" + "a" * 64, "", "localhost:5000/a/b:1@sha256:" + "a" * 64),
        ("docker.io/library/redis:7", "linux/arm64/v8", "docker.io/library/redis:7+linux-arm64-v8"),
        ("oci:/srv/images:one", "", "oci/srv/images:one"),
        ("oci:/srv/my images:one", "", "image-"),
        ("[::1]:5000/a:1", "", "image-"),
    ],
)
def test_names_for_other_tools_are_what_their_grammar_allows(
    reference: str, platform: str, name: str
) -> None:
    found = image_layouts.ref_name(reference, platform)
    assert found == name or (name == "image-" and found.startswith(name) and len(found) == 22)


def test_what_other_tools_named_in_the_index_is_kept(root: str, layout: LayoutWriter) -> None:
    image = add(root, layout, "one")
    name = image_layouts.ref_name(image.reference, "")
    subprocess.run(["umoci", "tag", "--image", f"{root}/images:{name}", "theirs"], check=True)
    add(root, layout, "two")
    removal.remove(root, [image.reference])
    listed = subprocess.run(
        ["umoci", "ls", "--layout", f"{root}/images"], check=True, capture_output=True, text=True
    )
    assert "theirs" in listed.stdout.split()
    assert name not in listed.stdout.split()
    subprocess.run(
        ["umoci", "raw", "unpack", "--image", f"{root}/images:theirs", f"{root}/theirs"], check=True
    )
    assert Path(root, "theirs/file").read_text() == "one"


# List and removal


def test_the_list_tells_digest_size_time_and_whether_it_is_unpacked(root: str, layout: LayoutWriter) -> None:
    assert store.images(root) == []
    two, one = add(root, layout, "two"), add(root, layout, "one")
    subprocess.run(["rm", "-rf", two.directory], check=True)
    listed = store.images(root)
    assert [each.reference for each in listed] == [one.reference, two.reference]
    assert [each.unpacked for each in listed] == [True, False]
    assert [each.digest for each in listed] == [one.digest, two.digest]
    manifest = json.loads(Path(layout.blob_path(one.digest)).read_bytes())
    assert listed[0].size == manifest["config"]["size"] + manifest["layers"][0]["size"]
    assert 0 <= os.stat(one.directory).st_mtime - listed[0].pulled + 60 < 120


def test_removal_takes_all_that_no_other_reference_uses_and_no_more(root: str, layout: LayoutWriter) -> None:
    one, two = add(root, layout, "one", "shared", "1"), add(root, layout, "two", "shared", "2")
    layout.tag("again", layout.index[0] | {"annotations": {}})
    again = obtain(root, f"oci:{layout.path}:again")
    assert again.digest == one.digest
    every = blobs(root)
    removal.remove(root, [one.reference])
    assert blobs(root) == every
    assert store.find(root, one.reference) is None
    assert store.find(root, again.reference) == again
    removal.remove(root, [again.reference])
    assert not os.path.exists(one.directory)
    assert len(blobs(root)) == 4
    assert Path(two.rootfs, "file").read_text() == "2"
    removal.remove(root, [two.reference])
    assert blobs(root) == set()
    assert os.listdir(f"{root}/rootfs") == os.listdir(f"{root}/tmp") == []
    assert json.loads(Path(root, "images/index.json").read_bytes())["manifests"] == []


def test_removal_takes_every_platform_of_a_reference_and_the_index(root: str, layout: LayoutWriter) -> None:
    entries = [
        (platform, layout.image([Layer({"file": str(platform)})], platform=platform))
        for platform in (OTHER, layouts.HOST_PLATFORM)
    ]
    layout.tag("both", layout.image_index(entries))
    for platform in (None, "linux/s390x"):
        obtain(root, f"oci:{layout.path}:both", platform=platform)
    assert [each.platform for each in store.images(root)] == ["", "linux/s390x"]
    removal.remove(root, [f"oci:{layout.path}:both"])
    assert blobs(root) == set()
    assert os.listdir(f"{root}/rootfs") == []


def test_an_image_in_use_is_not_removed_and_neither_are_those_named_with_it(
    root: str, layout: LayoutWriter
) -> None:
    one, two = add(root, layout, "one"), add(root, layout, "two")
    with store.hold(two), pytest.raises(StateError, match=f"{two.reference} is in use"):
        removal.remove(root, [one.reference, two.reference])
    assert len(store.images(root)) == 2
    assert store.find(root, one.reference) == one
    removal.remove(root, [one.reference, two.reference])
    assert store.images(root) == []


def test_an_unknown_image_is_named_and_nothing_is_removed(root: str, layout: LayoutWriter) -> None:
    with pytest.raises(StateError, match=r"docker.io/library/redis:latest is not in the store"):
        removal.remove(root, ["redis"])
    assert not os.path.exists(root)
    one = add(root, layout, "one")
    with pytest.raises(StateError, match=r"docker.io/library/redis:latest is not in the store"):
        removal.remove(root, [one.reference, "redis"])
    assert store.find(root, one.reference) == one


def test_a_removal_during_a_pull_leaves_the_blobs_that_the_pull_may_count_on(
    root: str, layout: LayoutWriter
) -> None:
    one = add(root, layout, "one")
    every = blobs(root)
    with files.held_directory(f"{root}/images/blobs"):
        removal.remove(root, [one.reference])
        assert blobs(root) == every
    assert store.images(root) == []


def test_holding_an_image_that_is_gone_or_was_replaced_is_refused(root: str, layout: LayoutWriter) -> None:
    one = add(root, layout, "one")
    removal.remove(root, [one.reference])
    with pytest.raises(StateError, match="was removed"), store.hold(one):
        pass


# Temporary directories


def test_what_a_crash_left_is_swept_and_what_is_held_stays(root: str) -> None:
    store.open_store(root)
    os.makedirs(f"{root}/tmp/work-dead/tree/closed")
    os.chmod(f"{root}/tmp/work-dead/tree/closed", 0)
    Path(root, "tmp/lock-dead").touch()
    with workdirs.directory(workdirs.tmp_directory(root), detect()) as work, workdirs.only_one(root, "held"):
        workdirs.sweep_tmp(root)
        assert sorted(os.listdir(f"{root}/tmp")) == ["lock-held", os.path.basename(work)]
    assert os.listdir(f"{root}/tmp") == []


def test_a_process_killed_while_it_unpacks_leaves_nothing_that_lasts(root: str, layout: LayoutWriter) -> None:
    image = layout.image([Layer({f"file-{number}": "x" for number in range(2000)})])
    layout.tag("one", image)
    reference = f"oci:{layout.path}:one"
    for _ in range(5):
        with child(root, reference) as process:
            while not glob.glob(f"{root}/tmp/work-*/*"):
                assert process.poll() is None
            process.kill()
        found = store.find(root, reference)
        assert found is None or len(os.listdir(found.rootfs)) == 2000
        workdirs.sweep_tmp(root)
        if found is not None:
            removal.remove(root, [reference])
    image_found = obtain(root, reference)
    assert len(os.listdir(image_found.rootfs)) == 2000
    workdirs.sweep_tmp(root)
    assert os.listdir(f"{root}/tmp") == []


def test_two_images_pulled_at_the_same_time_are_both_in_the_index(root: str, layout: LayoutWriter) -> None:
    tags = [f"tag{number}" for number in range(8)]
    for tag in tags:
        layout.tag(tag, layout.image([Layer({"file": tag})]))
    references = [f"oci:{layout.path}:{tag}" for tag in tags]
    processes = [child(root, reference) for reference in references]
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0] * len(tags)
    assert [each.reference for each in store.images(root)] == references
    index = json.loads(Path(root, "images/index.json").read_bytes())
    named = {entry["annotations"][image_layouts.REFERENCE] for entry in index["manifests"]}
    assert named == set(references)
    assert os.listdir(f"{root}/tmp") == []


# The place itself


def test_everything_in_the_store_is_private(root: str, layout: LayoutWriter) -> None:
    old = os.umask(0)
    try:
        image = add(root, layout, "one")
    finally:
        os.umask(old)
    for place, directories, names in os.walk(root):
        if place.startswith(image.rootfs):
            continue
        for name in directories:
            path = os.path.join(place, name)
            assert path == image.rootfs or os.stat(path).st_mode & 0o777 == 0o700, path
        for name in names:
            assert os.stat(os.path.join(place, name)).st_mode & 0o777 == 0o600, name
    assert os.stat(root).st_mode & 0o777 == 0o700


def test_a_store_of_another_version_is_refused_and_not_touched(root: str, layout: LayoutWriter) -> None:
    image = add(root, layout, "one")
    Path(root, "version").write_text("2\n")
    for action in (
        lambda: obtain(root, image.reference),
        lambda: obtain(root, f"oci:{layout.path}:two"),
        lambda: store.find(root, image.reference),
        lambda: store.images(root),
        lambda: removal.remove(root, [image.reference]),
    ):
        with pytest.raises(StateError, match="has version '2', and this tweed-shim knows '1'"):
            action()
    assert os.path.exists(image.rootfs)


def test_a_root_that_cannot_be_a_store_is_refused_by_name(tmp_path: Path, layout: LayoutWriter) -> None:
    layout.tag("one", layout.image([]))
    Path(tmp_path, "file").touch()
    for root in (f"{tmp_path}/file", f"{tmp_path}/file/below"):
        with pytest.raises(ConfigError, match=f"the store {root} is not a directory"):
            obtain(root, f"oci:{layout.path}:one")
    with pytest.raises(ConfigError, match="the store 'here' is not an absolute path"):
        obtain("here", f"oci:{layout.path}:one")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[str]:
    """A directory on a filesystem of 4 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    place = str(tmp_path / "disk")
    os.mkdir(place)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("size", [2 << 20, 3 << 20, 8 << 20], ids=["unpacking", "expanding", "fetching"])
def test_a_full_disk_is_one_sentence_and_all_works_again_once_there_is_room(
    small_disk: str, layout: LayoutWriter, size: int
) -> None:
    root = f"{small_disk}/root"
    how = "zstd" if size == 3 << 20 else "none"
    noise = os.urandom(size // 2) * 2 if how == "zstd" else os.urandom(size)
    layout.tag("big", layout.image([Layer({"file": noise}, how)]))
    layout.tag("small", layout.image([Layer({"file": "x"})]))
    with pytest.raises(HostError, match=r"free.*; make room"):
        obtain(root, f"oci:{layout.path}:big")
    assert os.listdir(f"{root}/tmp") == os.listdir(f"{root}/rootfs") == []
    assert store.images(root) == []
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    assert os.path.getsize(os.path.join(obtain(root, f"oci:{layout.path}:big").rootfs, "file")) == size


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path, layout: LayoutWriter) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    layout.tag("one", layout.image([]))
    place = str(tmp_path / "disk")
    os.mkdir(place)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", place], check=True)
    try:
        with pytest.raises(HostError, match=f"{place}/root cannot be used"):
            obtain(f"{place}/root", f"oci:{layout.path}:one")
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_large_blob_is_never_held_in_memory(root: str, layout: LayoutWriter) -> None:
    size = 96 << 20
    for how in ("none", "zstd"):
        layout.tag(how, layout.image([Layer({"zeros": bytes(size)}, how)]))
    code = (
        "import sys; sys.path[:0] = sys.argv[1].split(':'); from tweed_shim.image import pull\n"
        "for reference in sys.argv[3:]: pull.obtain(sys.argv[2], reference)\n"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    path = ":".join([SHIM, *filter(os.path.isdir, sys.path)])
    references = [f"oci:{layout.path}:{how}" for how in ("none", "zstd")]
    command = [sys.executable, "-I", "-c", code, path, root, *references]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) * 1024 < size // 2

"""The way to each mount point: directories of the image, or what the runtime makes there, and nothing else."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tweed_shim.errors import ImageError
from tweed_shim.runtime import mount_points

BIND, TMPFS = "bind", "tmpfs"
KERNEL = [("/proc", "proc"), ("/dev", TMPFS), ("/dev/pts", "devpts"), ("/dev/shm", TMPFS), ("/sys", "sysfs")]
CONTRACT = [
    ("/tweed/home", BIND),
    *((path, BIND) for path in mount_points.FILES[::-1]),
    ("/tweed/in", BIND),
    ("/tweed/out", BIND),
]
TEMPORARY = [("/tmp", TMPFS), ("/run", TMPFS), ("/var/tmp", TMPFS)]
ALL = [*KERNEL, *TEMPORARY, *CONTRACT]


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    root = tmp_path / "rootfs"
    for directory in ("bin", "dev", "etc", "opt/tweed", "proc", "run", "sys", "tmp", "usr/etc", "var/tmp"):
        (root / directory).mkdir(parents=True)
    return root


def link(rootfs: Path, path: str, target: str) -> None:
    place = rootfs / path
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


def check(rootfs: Path, points: list[mount_points.MountPoint] = ALL) -> list[str]:
    return mount_points.check(str(rootfs), points, "the image")


def refusal(rootfs: Path, points: list[mount_points.MountPoint] = ALL) -> str:
    with pytest.raises(ImageError) as caught:
        check(rootfs, points)
    return str(caught.value)


def remedy(path: str) -> str:
    """What the author of an image is told to make of a path."""
    return "a regular file" if path in ("etc/resolv.conf", "etc/hosts") else "a directory"


def test_directories_and_what_is_not_there_are_accepted(rootfs: Path) -> None:
    expected = [destination for destination, _ in ALL]
    assert check(rootfs) == expected
    (rootfs / "etc/resolv.conf").write_text("")
    (rootfs / "tweed/in").mkdir(parents=True)
    assert check(rootfs) == expected
    shutil.rmtree(rootfs)
    rootfs.mkdir()
    assert check(rootfs) == expected


@pytest.mark.parametrize("path", ["dev", "proc", "sys"])
@pytest.mark.parametrize(
    "target", ["/var", "usr", "../../../var", "/proc/1/root/var", "usr/../dev", "nowhere", "/", "."]
)
def test_no_directory_of_the_kernel_is_a_link(rootfs: Path, path: str, target: str) -> None:
    link(rootfs, path, target)
    assert f"its '/{path}' is a symbolic link" in refusal(rootfs)


@pytest.mark.parametrize("path", ["dev", "proc", "sys", "etc", "tweed", "tweed/in", "run", "tmp", "var"])
@pytest.mark.parametrize("kind", ["file", "fifo"])
def test_what_should_be_a_directory_is_one(rootfs: Path, path: str, kind: str) -> None:
    place = rootfs / path
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(exist_ok=True)
    if kind == "file":
        place.write_text("")
    else:
        os.mkfifo(place)
    assert refusal(rootfs).startswith(
        f"the image cannot be run: its '/{path}' is not a directory; make it one "
    )


@pytest.mark.parametrize(
    "path", ["etc", "tweed", "tweed/in", "run", "tmp", "var/tmp", "etc/resolv.conf", "etc/hosts"]
)
@pytest.mark.parametrize(
    ("target", "inside"),
    [
        ("/dev", "/dev"),
        ("/dev/shm", "/dev"),
        ("/proc/1/root/var", "/proc"),
        ("/proc/self/fd/3", "/proc"),
        ("../../../../sys/fs", "/sys"),
        ("/dev/..", "/dev"),
        ("/usr/etc/../../proc/self", "/proc"),
        ("/usr/to-a-link", "/dev"),
    ],
)
def test_no_link_leads_into_the_kernels_directories(
    rootfs: Path, path: str, target: str, inside: str
) -> None:
    link(rootfs, "usr/to-dev", "../dev")
    link(rootfs, "usr/to-a-link", "/usr/to-dev/shm")
    link(rootfs, path, target)
    assert f"its '/{path}' leads into {inside}; make it {remedy(path)} and" in refusal(rootfs)


@pytest.mark.parametrize(
    ("path", "target", "destination", "place"),
    [
        ("etc", "/usr/etc", "/etc/resolv.conf", "/usr/etc/resolv.conf"),
        ("etc", "usr/etc", "/etc/resolv.conf", "/usr/etc/resolv.conf"),
        ("etc", "../../usr/etc", "/etc/resolv.conf", "/usr/etc/resolv.conf"),
        ("etc/resolv.conf", "../run/resolver/own.conf", "/etc/resolv.conf", "/run/resolver/own.conf"),
        ("etc/resolv.conf", "/usr/etc/nothing", "/etc/resolv.conf", "/usr/etc/nothing"),
        ("tweed", "/opt/tweed", "/tweed/in", "/opt/tweed/in"),
        ("tweed/in", "../usr/etc", "/tweed/in", "/usr/etc"),
        ("var/tmp", "../tmp", "/var/tmp", "/tmp"),
        ("var/tmp", "/tmp", "/var/tmp", "/tmp"),
        ("var/run", "/run", "/run", "/run"),
        ("bin", "usr/bin", "/tweed/in", "/tweed/in"),
        ("run", "/usr", "/run", "/usr"),
        ("etc/resolv.conf", "/a/b/c/d/e/f/g/h/i/j/k", "/etc/resolv.conf", "/a/b/c/d/e/f/g/h/i/j/k"),
    ],
)
def test_a_link_to_a_directory_of_the_image_is_accepted(
    rootfs: Path, path: str, target: str, destination: str, place: str
) -> None:
    link(rootfs, path, target)
    assert dict(zip((each for each, _ in ALL), check(rootfs), strict=True))[destination] == place


def test_the_kernels_own_file_systems_can_have_mounts_below(rootfs: Path) -> None:
    # What the image has there is not on the way.
    link(rootfs, "sys/fs", "/proc")
    link(rootfs, "dev/pts", "/")
    points = [*KERNEL[:-1], ("/sys", BIND), ("/sys/fs/cgroup", TMPFS)]
    assert check(rootfs, points) == [destination for destination, _ in points]


def test_a_link_on_the_way_is_read_as_the_runtime_finds_it(rootfs: Path) -> None:
    # The image's /run is hidden by then: what it has there is not on the way.
    link(rootfs, "run/own", "/proc")
    link(rootfs, "etc/resolv.conf", "/run/own/file")
    assert "'/etc/resolv.conf' leads into /proc" in refusal(rootfs, [*KERNEL, *CONTRACT])
    assert check(rootfs)[-3] == "/run/own/file"
    link(rootfs, "etc", "/run")
    assert check(rootfs)[-3] == "/run/resolv.conf"
    link(rootfs, "etc", "/run/own")
    assert "'/etc' leads to '/run/own', which does not exist" in refusal(rootfs)


@pytest.mark.parametrize(
    ("path", "target", "fault"),
    [
        ("etc", "etc", "cannot be followed (Too many levels of symbolic links)"),
        ("etc", "/nothing", "leads to '/nothing', which does not exist"),
        ("tweed", "/usr/nothing/../etc", "leads to '/usr/nothing', which does not exist"),
        ("tweed/in", "nothing/", "leads to '/tweed/nothing', which does not exist"),
        ("etc/resolv.conf", "/nothing/../x", "leads through '/nothing', which does not exist"),
        ("tweed", "/" + "x" * 300, "cannot be followed (File name too long)"),
        ("tweed/in", "/data/file", "leads to '/data/file', which is not a directory"),
        ("tweed", "/data/file/x", "leads to '/data/file', which is not a directory"),
        ("etc/resolv.conf", "/data", "leads to '/data', which is not a regular file"),
        ("etc/resolv.conf", "/data/file/x", "leads to '/data/file', which is not a directory"),
        ("etc/resolv.conf", "resolv.conf", "cannot be followed (Too many levels of symbolic links)"),
        # What a run can write, or an earlier one has written, shows where the next mount goes.
        ("tweed/out", "in", "leads into '/tweed/in', where another mount is"),
        ("tweed/out", "/tweed/in/deeper", "leads into '/tweed/in', where another mount is"),
        ("etc/resolv.conf", "/tweed/home/x", "leads into '/tweed/home', where another mount is"),
        # The runtime comes this way again, to make the mount read-only.
        ("tweed/in", ".", "leads to '/tweed', which holds a link on the way there"),
        ("tweed/in", "/", "leads to '/', which holds a link on the way there"),
        ("tmp", "/", "leads to '/', which holds a link on the way there"),
    ],
)
def test_a_link_that_is_no_way_is_named(rootfs: Path, path: str, target: str, fault: str) -> None:
    (rootfs / "tweed/in/deeper").mkdir(parents=True)
    (rootfs / "data").mkdir()
    (rootfs / "data/file").write_text("")
    link(rootfs, path, target)
    assert f"its '/{path}' {fault}; make it {remedy(path)} and" in refusal(rootfs)


def test_no_mount_hides_a_link_that_led_to_it(rootfs: Path) -> None:
    (rootfs / "opt/deep").mkdir(parents=True)
    link(rootfs, "opt/by", "/usr")
    link(rootfs, "tweed", "/opt/by")
    assert check(rootfs)[-2:] == ["/usr/in", "/usr/out"]
    link(rootfs, "usr/in", "/opt")
    assert "its '/usr/in' leads to '/opt', which holds a link on the way there" in refusal(rootfs)


def test_a_file_is_mounted_on_a_file(rootfs: Path) -> None:
    (rootfs / "etc/resolv.conf").mkdir()
    assert "its '/etc/resolv.conf' is not a regular file; make it one " in refusal(rootfs)
    (rootfs / "etc/resolv.conf").rmdir()
    os.mkfifo(rootfs / "etc/resolv.conf")
    assert "is not a regular file" in refusal(rootfs)


def test_the_root_is_a_directory(rootfs: Path) -> None:
    (rootfs.parent / "link").symlink_to(rootfs)
    assert "its '/' is not a directory" in refusal(rootfs.parent / "link")


NAMES = ["dev", "proc", "etc", "tweed", "a", "b", "resolv.conf", "in"]
PARTS = st.lists(st.sampled_from([*NAMES, "..", "..", "."]), min_size=1, max_size=4)
TARGETS = st.builds(lambda start, parts: start + "/".join(parts), st.sampled_from(["", "/"]), PARTS)
ENTRY = st.one_of(
    st.just("directory"), st.just("directory"), st.just("file"), TARGETS.map(lambda t: f"-> {t}")
)


@contextmanager
def tree(entries: dict[str, str]) -> Iterator[str]:
    """A root directory with these entries, as far as they can be made."""
    with tempfile.TemporaryDirectory() as directory:
        for path, entry in sorted(entries.items()):
            place = os.path.join(directory, path)
            parent = os.path.dirname(place)
            if os.path.realpath(parent) != parent or not os.path.isdir(parent):
                continue
            if entry == "directory":
                os.mkdir(place)
            elif entry == "file":
                Path(place).touch()
            else:
                os.symlink(entry.removeprefix("-> "), place)
        yield directory


def links_on_the_way(rootfs: str, destination: str) -> list[str]:
    """The links that a runtime which knows nothing of the root would follow with the host's."""
    at, found = rootfs, []
    for part in destination.split("/")[1:]:
        at = os.path.join(at, part)
        if os.path.islink(at):
            found.append(at)
    return found


@settings(max_examples=300, deadline=None)
@given(
    entries=st.dictionaries(
        st.one_of(
            st.sampled_from(NAMES), st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)).map("/".join)
        ),
        ENTRY,
        max_size=8,
    )
)
def test_what_is_accepted_leads_to_directories_that_are_nothing_else(entries: dict[str, str]) -> None:
    points = [*KERNEL, *CONTRACT]
    with tree(entries) as rootfs:
        if {*entries.values()} <= {"directory"} and "etc/resolv.conf" not in entries:
            places = mount_points.check(rootfs, points, "it")
        else:
            try:
                places = mount_points.check(rootfs, points, "it")
            except ImageError:
                return
        assert not any(links_on_the_way(rootfs, f"/{name}") for name in ("dev", "proc", "sys"))
        assert len({*places}) == len(places)
        for (destination, _), place in zip(points, places, strict=True):
            top = place.split("/")[1]
            assert (top in ("dev", "proc", "sys")) is (destination.split("/")[1] in ("dev", "proc", "sys"))
            # Every part that exists is what it is called by: no further link is on the way.
            for end in range(len(place)):
                part = rootfs + place[:end]
                assert os.path.realpath(part) == os.path.normpath(part)
                assert not os.path.lexists(part) or os.path.isdir(part)

"""Hostile layers: nothing is written outside of the store, and a layer that cannot be unpacked is one sentence."""

import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from installed import Shim
from layouts import File, Files, Layer, LayoutWriter, busybox_files, directory, hard_link, symlink, tar_of
from script_images import METADATA, ScriptImage

# A million takes minutes: give it in the variable to see.
MANY = int(os.environ.get("TWEED_TEST_ENTRIES", "30000"))
HUGE, LARGE = 10 << 30, 128 << 20
SECRET = b"of the host"


class Canary(NamedTuple):
    """A directory of the host that hostile layers aim at; every user could write to it."""

    path: str

    def look(self) -> dict[str, tuple[int, int, int, int, bytes]]:
        """Return the mode, owner, links, time of change and content of each path."""
        found = {}
        for place, _, names in os.walk(self.path):
            for path in (place, *(os.path.join(place, name) for name in names)):
                about = os.lstat(path)
                content = b"" if stat.S_ISDIR(about.st_mode) else Path(path).read_bytes()
                found[path] = (about.st_mode, about.st_uid, about.st_nlink, about.st_ctime_ns, content)
        return found


@pytest.fixture
def canary(public_directory: str) -> Iterator[Canary]:
    path = os.path.join(public_directory, "canary")
    os.makedirs(os.path.join(path, "inner"))
    for name in ("secret", "inner/secret"):
        with open(os.path.join(path, name), "wb") as file:
            file.write(SECRET)
        os.chmod(os.path.join(path, name), 0o666)
    for name in ("", "inner"):
        os.chmod(os.path.join(path, name), 0o777)
    yield Canary(path)
    subprocess.run(["rm", "-rf", path], check=True)


def up(path: str) -> str:
    return "../" * 32 + path.lstrip("/")


# Each makes the files of an image's layers, for a directory of the host.
TRICKS: dict[str, Callable[[str], list[Files]]] = {
    "names that go up": lambda host: [{up(f"{host}/escaped"): "x", f"a/{up(host)}/escaped": "x"}],
    "absolute names": lambda host: [{f"{host}/escaped": "x", f"{host}/secret": "changed"}],
    "through a link of the layer before": lambda host: [
        {"out": symlink(host)},
        {"out/escaped": "x", "out/secret": "changed", "out/inner/escaped": "x"},
    ],
    "through a link of the same layer": lambda host: [
        {"out": symlink(host), "out/escaped": "x", "out/secret": "changed"}
    ],
    "through a link that goes up": lambda host: [
        {"out": symlink(up(host)), "out/escaped": "x", "out/secret": "changed"}
    ],
    "through two links": lambda host: [
        {"one": symlink(os.path.dirname(host)), "two": symlink(f"one/{os.path.basename(host)}")},
        {"two/escaped": "x", "one/canary/escaped": "x"},
    ],
    "onto a link": lambda host: [{"out": symlink(f"{host}/secret")}, {"out": "changed"}],
    "a directory onto a link": lambda host: [{"out": symlink(host)}, {"out": directory(0o700, uid=77)}],
    "a directory swapped for a link": lambda host: [
        {"out/inner": "x"},
        {"out": symlink(host), "out/escaped": "x"},
        {"out": directory(0o700), "out/other": "x"},
    ],
    "hard links to the host": lambda host: [
        {"one": hard_link(f"{host}/secret"), "two": hard_link(up(f"{host}/secret"))},
    ],
    "a hard link through a link": lambda host: [
        {"out": symlink(host), "link": hard_link("out/secret")},
        {"link": "changed"},
    ],
    "a hard link to a link, written to": lambda host: [
        {"out": symlink(f"{host}/secret"), "link": hard_link("out")},
        {"link": "changed"},
    ],
    "whiteouts through a link": lambda host: [
        {"out": symlink(host)},
        {"out/.wh.secret": "", "out/inner/.wh.secret": ""},
    ],
    "a whiteout of a whole directory through a link": lambda host: [
        {"out": symlink(host)},
        {"out/.wh..wh..opq": "", "out/.wh.inner": ""},
    ],
    "whiteouts that go up": lambda host: [{up(f"{host}/.wh.secret"): "", up(f"{host}/.wh..wh..opq"): ""}],
    "whiteouts of odd names": lambda _: [{".wh.": "", ".wh...": "", ".wh..": "", "a/.wh...": ""}],
    "a device through a link": lambda host: [
        {"out": symlink(host)},
        {
            "out/escaped": File(kind=tarfile.CHRTYPE, device=(1, 3), mode=0o666),
            "out/fifo": File(kind=tarfile.FIFOTYPE),
        },
    ],
    "the root as a link": lambda host: [
        {"./": symlink(host), "escaped": "x"},
        {".": symlink(host), "escaped": "x"},
    ],
    "proc as a link": lambda host: [{"proc": symlink(host), "sys": symlink(host), "dev": symlink(host)}],
    "places of the runtime as links": lambda host: [
        {"tweed": symlink(host), "etc/resolv.conf": symlink(f"{host}/secret"), "tmp": symlink(host)}
    ],
}


def image_of(public_directory: str, name: str, layers: list[Layer]) -> str:
    path = os.path.join(public_directory, "".join(letter if letter.isalnum() else "-" for letter in name))
    if not os.path.exists(path):
        writer = LayoutWriter(path)
        base = Layer({**busybox_files(), "entrypoint": f"#!/bin/busybox sh\n{METADATA}\n"}, "none")
        writer.tag("latest", writer.image([base, *layers], {"Entrypoint": ["/entrypoint"]}))
    return f"oci:{path}"


def is_refused_or_harmless(shim: Shim, image: str) -> bool:
    """Tell whether an image can be run; where not, it was refused in one sentence and left nothing."""
    done = shim.run("exec", image, "metadata", timeout=300)
    assert done.code in (0, 125), done
    if done.code == 0:
        return True
    refusal = done.err.decode().splitlines()[-1]
    assert refusal.startswith("tweed-shim: "), done
    assert "Traceback" not in done.err.decode()
    return False


@pytest.mark.parametrize("trick", TRICKS)
def test_nothing_outside_of_the_store_is_touched(
    shim: Shim, public_directory: str, canary: Canary, trick: str
) -> None:
    layers = [Layer(files, "none") for files in TRICKS[trick](canary.path)]
    image = image_of(public_directory, trick, layers)
    before = canary.look()
    above = sorted(os.listdir(os.path.dirname(shim.root)))
    is_refused_or_harmless(shim, image)
    assert canary.look() == before
    assert sorted({*os.listdir(os.path.dirname(shim.root)), "store"}) == sorted({*above, "store"})
    assert not os.path.exists("/escaped")


ODD_NAMES: Files = {
    "line\nbreak": "x",
    "-rf": "x",
    " ": "x",
    "a" * 255: "x",
    "\x1b[31mred": "x",
    "/".join(["deep"] * 200) + "/file": "x",
    "\udcff\udcfe": "x",
    "caf\udce9": directory(),
}


def test_odd_file_names_are_unpacked_as_they_are(shim: Shim, public_directory: str) -> None:
    image = image_of(public_directory, "odd names", [Layer(ODD_NAMES, "none")])
    assert is_refused_or_harmless(shim, image)
    [tree] = os.listdir(os.path.join(shim.root, "rootfs"))
    found = os.listdir(os.path.join(shim.root, "rootfs", tree, "rootfs"))
    assert {name.partition("/")[0] for name in ODD_NAMES} <= {*found}
    assert shim.run("rm", image).code == 0
    assert os.listdir(os.path.join(shim.root, "rootfs")) == []


@pytest.mark.parametrize(
    "name",
    ["a" * 300, "/".join(["d" * 200] * 30) + "/file", "a/" * 3000 + "b"],
    ids=["long", "longer", "deep"],
)
def test_names_that_are_too_long_are_refused_or_harmless_and_leave_nothing(
    shim: Shim, public_directory: str, name: str
) -> None:
    image = image_of(public_directory, f"long {len(name)}", [Layer({name: "x"}, "none")])
    if is_refused_or_harmless(shim, image):
        assert shim.run("rm", image).code == 0
    assert os.listdir(os.path.join(shim.root, "rootfs")) == []
    assert [each for each in os.listdir(os.path.join(shim.root, "tmp")) if not each.startswith("lock-")] == []


def raw_layer(tar: bytes, how: str = "none") -> Layer:
    return Layer({}, how, tar=tar)


def tar_with(member: tarfile.TarInfo, content: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def with_attribute(name: str, value: str) -> bytes:
    member = tarfile.TarInfo("dir")
    member.type = tarfile.DIRTYPE
    member.mode = 0o755
    member.pax_headers = {f"SCHILY.xattr.{name}": value}
    return tar_with(member)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user.greeting", "hello"),
        ("security.capability", "\x01\x00\x00\x02\xff"),
        ("trusted.overlay.opaque", "y"),
        ("trusted.overlay.redirect", "/etc"),
        ("user.overlay.redirect", "/../../etc"),
        ("user.overlay.opaque", "y"),
        ("system.posix_acl_access", "nonsense"),
        ("nonsense", "x"),
        ("user." + "x" * 300, "x"),
    ],
)
def test_extended_attributes_are_refused_or_harmless(
    shim: Shim, public_directory: str, name: str, value: str
) -> None:
    image = image_of(public_directory, f"attribute {name[:40]}", [raw_layer(with_attribute(name, value))])
    is_refused_or_harmless(shim, image)


GOOD = tar_of({"file": "x" * 2000, "dir/other": "y"})
DAMAGED = {
    "cut in a header": GOOD[:700],
    "cut in a file": GOOD[:1500],
    "no tar at all": b"\xff" * 10240,
    "a wrong checksum": GOOD[:148] + b"0000000\0" + GOOD[156:],
    "a size beyond its end": GOOD[:124] + b"77777777777\0" + GOOD[136:],
    "zeros": bytes(10240),
    "empty": b"",
}


@pytest.mark.parametrize("fault", DAMAGED)
def test_a_damaged_layer_is_refused_or_harmless(shim: Shim, public_directory: str, fault: str) -> None:
    image = image_of(public_directory, f"damaged {fault}", [raw_layer(DAMAGED[fault])])
    is_refused_or_harmless(shim, image)


# Devices and set-user-ID programs


NODES = ("null", "memory", "disk")


@pytest.mark.parametrize("options", [(), ("--read-only",)], ids=["", "read-only"])
def test_a_device_of_an_image_cannot_be_opened(
    shim: Shim, script_image: ScriptImage, options: tuple[str, ...]
) -> None:
    disk = os.stat("/").st_dev
    files = {
        "null": File(kind=tarfile.CHRTYPE, mode=0o666, device=(1, 3)),
        "memory": File(kind=tarfile.CHRTYPE, mode=0o666, device=(1, 1)),
        "disk": File(kind=tarfile.BLKTYPE, mode=0o666, device=(os.major(disk), os.minor(disk))),
    }
    kind = "if [ -c /$each ] || [ -b /$each ]; then echo device; else echo file; fi"
    use = "if head -c 1 /$each > /dev/null 2>&1; then echo opens; else echo refused; fi"
    script = f"(for each in {' '.join(NODES)}; do echo $each $({kind}) $({use}); done) >&2; {METADATA}"
    done = shim.run("exec", script_image(script, files=files), "metadata", *options)
    assert done.code == 0, done
    found = [line for line in done.err.decode().splitlines() if line.startswith(NODES)]
    if shim.account.kind != "root":
        # An empty file is in the place of what only root can make.
        assert found == [f"{name} file opens" for name in NODES]
    elif options:
        # Making the root read-only costs the mount its `nodev`; the control group still knows the harmless devices.
        assert found == ["null device opens", "memory device refused", "disk device refused"]
    else:
        assert found == [f"{name} device refused" for name in NODES]


def test_a_set_user_id_program_gains_nothing(shim: Shim, script_image: ScriptImage) -> None:
    if shim.account.kind == "single":
        pytest.skip("there is only one id, so that there is nothing to gain")
    with open("/bin/busybox", "rb") as file:
        program = File(file.read(), mode=0o6755)
    image = script_image(f'echo "id $(/gain/id -u)" >&2; {METADATA}', files={"gain/id": program}, user="1000")
    done = shim.run("exec", image, "metadata")
    assert b"id 1000" in done.err, done


# Sizes


@pytest.fixture
def small_disk(shim: Shim) -> Iterator[Shim]:
    os.mkdir(shim.root, 0o700)
    owner = f"uid={shim.account.uid},gid={shim.account.gid}"
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size=64m,mode=0700,{owner}", "tmpfs", shim.root], check=True
    )
    try:
        yield shim
    finally:
        subprocess.run(["umount", shim.root], check=True)
        os.rmdir(shim.root)


def sparse_tar(size: int) -> bytes:
    """Return a tar whose one file is a hole of so many bytes (PAX, GNU sparse format 1.0)."""
    member = tarfile.TarInfo("./GNUSparseFile.0/huge")
    member.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "huge",
        "GNU.sparse.realsize": str(size),
    }
    return tar_with(member, f"1\n{size}\n0\n".encode().ljust(512, b"\0"))


def bomb(size: int) -> bytes:
    """Return the beginning of a tar with a file of so many zeros; the zeros come as they are compressed."""
    member = tarfile.TarInfo("huge")
    member.size = size
    return member.tobuf()


@pytest.mark.parametrize("kind", ["a sparse file", "zeros in gzip", "zeros in zstd"])
def test_a_small_layer_that_becomes_large_is_refused_before_the_disk_is_full(
    small_disk: Shim, public_directory: str, kind: str
) -> None:
    layer = (
        raw_layer(sparse_tar(HUGE))
        if kind == "a sparse file"
        else raw_layer(bomb(LARGE) + bytes(LARGE), kind.rpartition(" ")[2])
    )
    image = image_of(public_directory, kind, [layer])
    done = small_disk.run("exec", image, "metadata", timeout=300)
    assert done.code == 125, done
    refusal = done.err.decode().splitlines()[-1]
    # Whoever notices first says so: the watch, or umoci itself.
    assert f"no space is left in {small_disk.root}" in refusal
    assert f"to unpack {image}" in refusal
    assert os.listdir(os.path.join(small_disk.root, "rootfs")) == []
    assert [
        each for each in os.listdir(os.path.join(small_disk.root, "tmp")) if each.startswith("work")
    ] == []
    good = image_of(public_directory, "good", [])
    assert is_refused_or_harmless(small_disk, good), "with room again it works again"


def test_a_directory_of_very_many_entries_is_unpacked_and_removed(shim: Shim, public_directory: str) -> None:
    entries = MANY if shim.account.kind == "root" else MANY // 10
    layer = Layer({f"many/{number}": b"" for number in range(entries)}, "gzip")
    image = image_of(public_directory, f"many {entries}", [layer])
    assert is_refused_or_harmless(shim, image)
    assert shim.run("rm", image, timeout=300).code == 0

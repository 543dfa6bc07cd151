"""Layers with PAX global headers, as `git archive` makes them."""

import io
import os
import random
import subprocess
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layouts import Layer, LayoutWriter, busybox_files, digest_of, tar_of
from tweed_shim.errors import ImageError
from tweed_shim.image import pull
from tweed_shim.image.global_headers import without_global_headers

HEADER = tarfile.TarInfo.create_pax_global_header({"comment": "0123456789abcdef"})


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def members() -> list[bytes]:
    """The members of a tar of every kind, one after the other, each with its extended headers."""
    buffers = []
    for kind, name in (
        (tarfile.REGTYPE, "file"),
        (tarfile.REGTYPE, "long/" * 60 + "name"),
        (tarfile.REGTYPE, "pax-é"),
        (tarfile.DIRTYPE, "directory/"),
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "hard"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.FIFOTYPE, "pipe"),
        (tarfile.REGTYPE, "empty"),
        (tarfile.REGTYPE, "block"),
    ):
        for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
            member = tarfile.TarInfo(f"{form}-{name}")
            member.type, member.linkname = (
                kind,
                "0-file" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else "",
            )
            content = {"file": b"x" * 1500, "block": b"y" * 512}.get(
                name, b"z" if kind == tarfile.REGTYPE else b""
            )
            content = b"" if name == "empty" else content
            # A size on a link means nothing to anybody.
            member.size = 700 if kind == tarfile.LNKTYPE else len(content)
            padded = content + bytes(-len(content) % 512)
            buffers.append(member.tobuf(form) + padded)
    # A size that only the extended header tells.
    large = tarfile.TarInfo("large")
    large.pax_headers = {"size": "600"}
    buffers.append(large.tobuf(tarfile.PAX_FORMAT) + b"l" * 600 + bytes(424))
    return buffers


MEMBERS = members()
END = bytes(1024)


@given(
    st.lists(st.sampled_from([HEADER, None]), min_size=len(MEMBERS) + 1, max_size=len(MEMBERS) + 1),
    st.integers(1, 3000),
)
def test_all_else_stays_as_it_is(before: list[bytes | None], size: int) -> None:
    spoiled = b"".join(
        (header or b"") + member for header, member in zip(before, [*MEMBERS, END], strict=True)
    )
    assert b"".join(without_global_headers(pieces(spoiled, size))) == b"".join(MEMBERS) + END


def test_the_sparse_files_of_gnu_tar_stay_as_they_are(tmp_path: os.PathLike[str]) -> None:
    for form in ("gnu", "pax"):
        path = os.path.join(tmp_path, form)
        with open(f"{path}.data", "wb") as file:
            for at in range(60):
                file.seek(at * 100_000)
                file.write(bytes([at]) * 7000)
        with open(f"{path}.after", "wb") as file:
            file.write(b"after")
        names = (f"{form}.data", f"{form}.after")
        subprocess.run(
            ["tar", "-C", tmp_path, "-S", f"--format={form}", "-cf", f"{path}.tar", *names], check=True
        )
        with open(f"{path}.tar", "rb") as file:
            whole = file.read()
        with tarfile.open(f"{path}.tar") as tar:
            second = tar.getmembers()[1].offset
        spoiled = [HEADER, whole[:second], HEADER, whole[second:]]
        assert b"".join(without_global_headers(spoiled)) == whole


@given(st.binary(max_size=3000), st.integers(1, 1000))
def test_data_that_is_not_a_tar_stays_unchanged(data: bytes, size: int) -> None:
    if data[156:157] != b"g":
        assert b"".join(without_global_headers(pieces(data, size))) == data


def test_a_tar_that_is_cut_is_cut_after_it_too() -> None:
    whole = HEADER + b"".join(MEMBERS)
    for at in range(len(HEADER), len(whole), 97):
        assert b"".join(MEMBERS).startswith(b"".join(without_global_headers([whole[:at]])))


# ---- images


@pytest.fixture
def root(tmp_path: os.PathLike[str]) -> str:
    return os.path.join(tmp_path, "root")


@pytest.fixture
def layout(tmp_path: os.PathLike[str]) -> LayoutWriter:
    return LayoutWriter(os.path.join(tmp_path, "layout"))


@pytest.mark.parametrize("how", ["none", "gzip", "zstd"])
def test_an_image_with_global_headers_is_unpacked(root: str, layout: LayoutWriter, how: str) -> None:
    first = tar_of(busybox_files())
    # At the beginning, as git makes it, and in the middle.
    second = (
        HEADER
        + tar_of({"a": "1", "removed": "1"})[:2048]
        + HEADER
        + tar_of({"b": random.Random(0).randbytes(9000)})
    )
    layers = [
        Layer({}, how, tar=first),
        Layer({}, how, tar=second),
        Layer({".wh.removed": "", "c": "3"}, how),
    ]
    layout.tag("git", layout.image(layers))
    image = pull.obtain(root, f"oci:{layout.path}:git")
    assert {"a", "b", "c", "bin"} <= set(os.listdir(image.rootfs))
    assert "removed" not in os.listdir(image.rootfs)
    assert os.path.getsize(os.path.join(image.rootfs, "b")) == 9000
    assert os.listdir(os.path.join(root, "tmp")) == []


def test_what_git_archives_is_unpacked(root: str, layout: LayoutWriter) -> None:
    # Byte for byte what git 2.39 writes before the files.
    comment = b"52 comment=" + b"0123456789abcdef0123456789abcdef01234567" + b"\n"
    header = tarfile.TarInfo("pax_global_header")
    header.type, header.mode, header.mtime, header.size = b"g", 0o666, 1792621999, len(comment)
    header.uname = header.gname = "root"
    tar = header.tobuf(tarfile.USTAR_FORMAT) + comment + bytes(512 - len(comment)) + tar_of({"file": "x"})
    layout.tag("git", layout.image([Layer({}, tar=tar)]))
    assert os.listdir(pull.obtain(root, f"oci:{layout.path}:git").rootfs) == ["file"]


def test_a_layer_with_global_headers_has_to_be_that_of_its_diff_id(root: str, layout: LayoutWriter) -> None:
    tar = HEADER + tar_of({"a": "1"})
    layout.tag("lie", layout.image([Layer({}, tar=tar, diff_id=digest_of(tar_of({"a": "1"})))]))
    with pytest.raises(ImageError, match="is damaged: its bytes are not those of"):
        pull.obtain(root, f"oci:{layout.path}:lie")
    assert os.listdir(os.path.join(root, "tmp")) == os.listdir(os.path.join(root, "rootfs")) == []


def test_a_hostile_layer_with_global_headers_writes_nothing_outside(
    root: str, layout: LayoutWriter, tmp_path: os.PathLike[str]
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../../escaped"))
        link = tarfile.TarInfo("out")
        link.type, link.linkname = tarfile.SYMTYPE, os.fspath(tmp_path)
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("out/escaped"))
    layout.tag("bad", layout.image([Layer({}, tar=HEADER + buffer.getvalue())]))
    image = pull.obtain(root, f"oci:{layout.path}:bad")
    assert "escaped" in os.listdir(image.rootfs)
    assert "escaped" not in os.listdir(tmp_path)
    assert "escaped" not in os.listdir(os.path.dirname(image.rootfs))

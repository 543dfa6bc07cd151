"""The ids of an image's `User`, looked up in the image's own files."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tweed_shim.errors import ImageError
from tweed_shim.runtime import users
from tweed_shim.runtime.users import User

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
broken
:x:5:5::/:
minus:x:-1:0::/:
redis:x:999:1000:Redis:/data:/bin/sh
twice:x:1:2:::
twice:x:3:4:::
7:x:77:77::/seven:
short:x:12:13
"""
GROUP = """\
root:x:0:root
broken:x
wheel:x:10:root,redis
redis:x:1000:
big:x:99999999999999:redis
cache:x:20:nobody,redis
again:x:20:redis
"""


@pytest.fixture
def rootfs(tmp_path: Path) -> str:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    (tmp_path / "etc/group").write_text(GROUP)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("user", "means"),
    [
        ("", User(0, 0, (0, 10), "/root")),
        ("root", User(0, 0, (0, 10), "/root")),
        ("0", User(0, 0, (0, 10), "/root")),
        ("redis", User(999, 1000, (1000, 10, 20), "/data")),
        ("999", User(999, 1000, (1000, 10, 20), "/data")),
        ("redis:wheel", User(999, 10, (10,), "/data")),
        ("redis:10", User(999, 10, (10,), "/data")),
        ("999:wheel", User(999, 10, (10,), "/data")),
        ("redis:", User(999, 1000, (1000, 10, 20), "/data")),
        (":wheel", User(0, 10, (10,), "/root")),
        ("redis:5555", User(999, 5555, (5555,), "/data")),
        ("5555", User(5555, 0, (0,), "/")),
        ("5555:6666", User(5555, 6666, (6666,), "/")),
        ("twice", User(1, 2, (2,), "/")),
        ("7", User(77, 77, (77,), "/seven")),
        ("short", User(12, 13, (13,), "/")),
        ("0000000000000000000000000000999", User(999, 1000, (1000, 10, 20), "/data")),
        ("4294967294", User(4294967294, 0, (0,), "/")),
    ],
)
def test_names_and_numbers_are_looked_up_in_the_image(rootfs: str, user: str, means: User) -> None:
    assert users.resolve(rootfs, user) == means


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ("nobody", "user 'nobody' is not in its /etc/passwd"),
        ("minus", "user 'minus' is not in its /etc/passwd"),
        ("-1", "user '-1' is not in its /etc/passwd"),
        ("redis:staff", "group 'staff' is not in its /etc/group"),
        ("redis:big", "group 'big' is not in its /etc/group"),
        ("redis:wheel:x", "group 'wheel:x' is not in its /etc/group"),
        ("4294967295", "larger than any id"),
        ("0:4294967295", "larger than any id"),
        ("9" * 5000, "larger than any id"),
        ("\u0661", "is not in its /etc/passwd"),
        ("a\nb", r"'a\nb' is not in"),
    ],
)
def test_an_unknown_user_or_group_is_named(rootfs: str, user: str, said: str) -> None:
    with pytest.raises(ImageError) as caught:
        users.resolve(rootfs, user)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_an_image_without_accounts_has_numbers_only(tmp_path: Path) -> None:
    assert users.resolve(str(tmp_path), "") == User(0, 0, (0,), "/")
    assert users.resolve(str(tmp_path), "12:34") == User(12, 34, (34,), "/")
    with pytest.raises(ImageError, match="'redis' is not in its /etc/passwd"):
        users.resolve(str(tmp_path), "redis")


def test_the_hosts_accounts_are_not_used(tmp_path: Path) -> None:
    root = tmp_path / "rootfs"
    (root / "etc").mkdir(parents=True)
    (tmp_path / "passwd").write_text("host:x:1:1::/:\n")
    for target in ("../../passwd", str(tmp_path / "passwd"), "/../../../passwd"):
        (root / "etc/passwd").symlink_to(target)
        with pytest.raises(ImageError, match="'host' is not in"):
            users.resolve(str(root), "host")
        (root / "etc/passwd").unlink()


def test_a_link_inside_of_the_image_is_followed(rootfs: str) -> None:
    os.rename(f"{rootfs}/etc/passwd", f"{rootfs}/accounts")
    os.symlink("/accounts", f"{rootfs}/etc/passwd")
    assert users.resolve(rootfs, "redis").uid == 999


def test_a_fifo_in_place_of_a_file_does_not_block(rootfs: str) -> None:
    os.unlink(f"{rootfs}/etc/group")
    os.mkfifo(f"{rootfs}/etc/group")
    assert users.resolve(rootfs, "redis") == User(999, 1000, (1000,), "/data")


def test_a_huge_file_is_read_no_further_than_its_first_mib(rootfs: str) -> None:
    with open(f"{rootfs}/etc/passwd", "a") as file:
        file.write("#" * ((1 << 20) - file.tell() - len("cut:x:1:1") - 1) + "\n")
        file.write("cut:x:1:1234::/:\n")
        file.truncate(10 << 30)
    assert users.resolve(rootfs, "redis").uid == 999
    with pytest.raises(ImageError, match="'cut' is not in"):
        users.resolve(rootfs, "cut")


@given(passwd=st.text(":x0123456789\n", max_size=80).map(str.encode) | st.binary(max_size=80))
def test_any_file_of_accounts_is_read(tmp_path_factory: pytest.TempPathFactory, passwd: bytes) -> None:
    root = tmp_path_factory.mktemp("rootfs")
    (root / "etc").mkdir()
    (root / "etc/passwd").write_bytes(passwd)
    (root / "etc/group").write_bytes(passwd)
    found = users.resolve(str(root), "5:6")
    assert found.uid < 2**32 - 1
    assert found.gid < 2**32 - 1

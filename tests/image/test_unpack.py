"""Unpacking with real umoci, as root and as users with and without subordinate ids."""

import json
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from accounts import Account, open_to_all
from layouts import File, Layer, LayoutWriter, directory

HELD = {"file": File(b"x", uid=1000, gid=1001)}
CHILD = """
import json, sys
from tweed_shim.base.records import fields
from tweed_shim.host import userns
from tweed_shim.errors import ShimError
from tweed_shim.image import pull, removal, store
root, reference, todo = sys.argv[1:]
ids = userns.detect()
if todo == "single":
    ids = userns.IdMap("single", ids.uids[:1], ids.gids[:1])
try:
    if todo == "remove":
        removal.remove(root, [reference])
        print(json.dumps({}))
    else:
        image = pull.obtain(root, reference, idmap=ids)
        print(json.dumps({"kind": ids.kind, **fields(image)}, default=fields))
except ShimError as error:
    print(json.dumps({"error": str(error), "kind": type(error).__name__}))
"""


class User(NamedTuple):
    """One account with a store of its own and an interpreter that has the package installed."""

    account: Account
    python: str
    place: str

    @property
    def root(self) -> str:
        return os.path.join(self.place, "root")

    def start(self, reference: str, todo: str = "obtain", **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.python, "-I", "-c", CHILD, self.root, reference, todo],
            user=self.account.uid,
            group=self.account.gid,
            extra_groups=[],
            cwd=self.place,
            env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": self.account.home, **env},
            stdout=subprocess.PIPE,
            text=True,
        )

    def does(self, reference: str, todo: str = "obtain") -> Any:
        with self.start(reference, todo) as process:
            output = process.communicate()[0]
        assert process.returncode == 0
        return json.loads(output)

    def left(self) -> list[str]:
        return [*os.listdir(f"{self.root}/rootfs"), *os.listdir(f"{self.root}/tmp")]


@pytest.fixture
def user(account: Account, program: str) -> Iterator[User]:
    place = os.path.join(account.home, "unpacking")
    os.mkdir(place, 0o700)
    os.chown(place, account.uid, account.gid)
    yield User(account, os.path.join(os.path.dirname(program), "python"), place)
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def layout(public_directory: str) -> LayoutWriter:
    writer = LayoutWriter(os.path.join(public_directory, "unpacking"))
    odd = {
        "": directory(0o751, uid=5),
        "device": File(kind=tarfile.CHRTYPE, device=(1, 3)),
        "setuid": File(b"x", mode=0o4755, uid=7),
        "closed": directory(0),
        "closed/inner": directory(0o500, uid=9),
        "closed/inner/file": File(b"x", mode=0, uid=9, gid=9),
        **HELD,
    }
    writer.tag("odd", writer.image([Layer({name or ".": entry for name, entry in odd.items()})]))
    writer.tag("far", writer.image([Layer({"file": File(b"x", uid=3_000_000_000)})]))
    writer.tag("liar", writer.image([Layer(HELD), Layer({"a": "b"}, diff_id="sha256:" + "1" * 64)]))
    many = writer.image([Layer({f"file-{number}": "x" for number in range(500)}, "zstd"), Layer(HELD)])
    writer.tag("many", many)
    open_to_all(writer.path)
    return writer


def outside(account: Account, uid: int) -> int:
    """The id on the host of an image's id."""
    if account.kind == "root":
        return uid
    return account.uid if uid == 0 or account.kind == "single" else account.ids.start + uid - 1


def test_files_belong_to_the_ids_that_the_image_gives_them_as_far_as_the_user_has_them(
    user: User, layout: LayoutWriter
) -> None:
    image = user.does(f"oci:{layout.path}:odd")
    assert image["kind"] == {"root": "host"}.get(user.account.kind, user.account.kind)
    tree = image["rootfs"]
    owners = {
        name: os.lstat(os.path.join(tree, name)) for name in ("", "file", "setuid", "closed/inner/file")
    }
    wanted = {"": 5, "file": 1000, "setuid": 7, "closed/inner/file": 9}
    assert {name: about.st_uid for name, about in owners.items()} == {
        name: outside(user.account, uid) for name, uid in wanted.items()
    }
    if user.account.kind != "range":
        assert owners["file"].st_gid == (1001 if user.account.kind == "root" else user.account.gid)
    assert stat.S_IMODE(owners[""].st_mode) == 0o751
    assert stat.S_IMODE(owners["setuid"].st_mode) == 0o4755
    assert stat.S_IMODE(os.lstat(f"{tree}/closed").st_mode) == 0
    device = os.lstat(f"{tree}/device")
    # Nobody but the host's root can make a device; an empty file is in its place.
    assert stat.S_ISCHR(device.st_mode) if user.account.kind == "root" else device.st_size == 0
    assert stat.S_IMODE(os.stat(image["directory"]).st_mode) == 0o700


def test_an_image_of_odd_modes_and_owners_is_removed_whole(user: User, layout: LayoutWriter) -> None:
    user.does(f"oci:{layout.path}:odd")
    assert user.does(f"oci:{layout.path}:odd", "remove") == {}
    assert user.left() == []
    assert os.listdir(f"{user.root}/images/blobs/sha256") == []


def test_a_lying_diff_id_is_one_sentence_and_nothing_is_left(user: User, layout: LayoutWriter) -> None:
    refused = user.does(f"oci:{layout.path}:liar")
    assert refused["kind"] == "ImageError"
    assert "diff id" in refused["error"]
    assert "\n" not in refused["error"]
    assert user.left() == []
    assert os.listdir(f"{user.root}/images/blobs/sha256") == []


def test_ids_beyond_the_range_are_named_and_the_file_with_the_way_to_mend_it(
    user: User, layout: LayoutWriter
) -> None:
    answer = user.does(f"oci:{layout.path}:far")
    if user.account.kind == "range":
        assert answer["kind"] == "HostError"
        assert "/etc/subuid" in answer["error"]
        assert user.left() == []
    else:
        assert os.stat(f"{answer['rootfs']}/file").st_uid == outside(user.account, 3_000_000_000)


def test_a_tree_is_unpacked_again_after_the_user_got_a_range(user: User, layout: LayoutWriter) -> None:
    if user.account.kind != "range":
        pytest.skip("only a user with a range can be without one first")
    before = user.does(f"oci:{layout.path}:odd", "single")
    assert os.stat(f"{before['rootfs']}/file").st_uid == user.account.uid
    after = user.does(f"oci:{layout.path}:odd")
    assert after["rootfs"] == before["rootfs"]
    assert os.stat(f"{after['rootfs']}/file").st_uid == outside(user.account, 1000)
    assert os.listdir(f"{user.root}/tmp") == []


def test_eight_processes_that_want_the_same_image_unpack_it_once(user: User, layout: LayoutWriter) -> None:
    programs, count = os.path.join(user.place, "bin"), os.path.join(user.place, "count")
    os.mkdir(programs)
    with open(os.path.join(programs, "umoci"), "w", encoding="utf-8") as wrapper:
        wrapper.write(f'#!/bin/sh\necho "$@" >> {count}\nexec /usr/bin/umoci "$@"\n')
    os.chmod(wrapper.name, 0o755)
    path = f"{programs}:/usr/bin:/bin:/usr/sbin:/sbin"
    processes = [user.start(f"oci:{layout.path}:many", PATH=path) for _ in range(8)]
    answers = [json.loads(process.communicate()[0]) for process in processes]
    assert all(answer == answers[0] for answer in answers)
    assert len(os.listdir(answers[0]["rootfs"])) == 501
    with open(count, encoding="utf-8") as file:
        assert len(file.readlines()) == 1
    assert os.listdir(f"{user.root}/tmp") == []


def test_a_crash_of_umoci_is_reported_with_its_reason(user: User, layout: LayoutWriter) -> None:
    programs = os.path.join(user.place, "bin")
    os.mkdir(programs)
    trace = "goroutine 1:\\ncompress/gzip.read()\\nmain.main()\\n\\t/umoci/main.go:172 +0x32\\n"
    said = f"SIGBUS: bus error\\nPC=0x46 m=0\\n\\n{trace}"
    with open(os.path.join(programs, "umoci"), "w", encoding="utf-8") as wrapper:
        wrapper.write(f"#!/bin/sh\nprintf '{said}' >&2\nexit 2\n")
    os.chmod(wrapper.name, 0o755)
    process = user.start(f"oci:{layout.path}:many", PATH=f"{programs}:/usr/bin:/bin:/usr/sbin:/sbin")
    answer = json.loads(process.communicate()[0])
    assert answer["kind"] == "HostError"
    assert "umoci crashed" in answer["error"]
    assert "(SIGBUS: bus error); run the command again" in answer["error"]
    assert os.listdir(f"{user.root}/tmp") == []

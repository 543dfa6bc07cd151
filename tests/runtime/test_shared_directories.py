"""Directories of the host that containers share one after the other: kept, limited, and readable for other users."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from accounts import Account
from installed import mentions
from leftovers import process_owners
from shared_runs import Runs, mount
from tweed_shim.runtime import shared_directories

MIB = 1 << 20
# What one user leaves: private and unreadable files, links, a pipe, a name that is not UTF-8, a file with a hole.
TREE = r"""
cd /shared
printf secret > file; chmod 600 file; touch -t 200102030405 file; ln file hard
printf none > none; chmod 0 none
mkdir -p dir/inner closed; printf x > dir/inner/x; chmod 1750 dir; touch -t 200102030405 dir/inner
printf y > closed/y; chmod 4755 closed/y; chmod 0 closed
ln -s /shared/file link; ln -s /nowhere dangling
mkfifo pipe
printf z > "$(printf 'name\377')"
dd if=/dev/zero of=hole bs=1 count=1 seek=3G 2>/dev/null
"""
LIST = "cd /shared; find . -exec stat -c '%n|%F|%a|%u|%g|%s|%Y' {} + 2>/dev/null | sort"
# A path of 7,000 bytes, made of three parts, as the kernel takes 4,096 at once.
PART = 'cd /shared; part=$(printf "%0200d/" $(seq 12)); '
DEEP = (
    PART + 'mkdir -p "1/$part"; printf x > "1/${part}x"; '
    'for n in 2 3; do mkdir -p "$n/$part"; mv $((n-1)) "$n/$part" || exit 9; done'
)
READ_DEEP = PART + 'for n in 3 2 1; do cd -P "$n/$part" || exit 9; done; cat x'
TAKE_OVER = """
import json, sys
from tweed_shim.host import owned_trees, userns
owned_trees.take_over(userns.detect(), json.load(sys.stdin))
"""


def listed(text: str) -> dict[str, list[str]]:
    """The fields of LIST, by the paths."""
    return {name: fields for name, *fields in (line.split("|") for line in text.splitlines())}


def statuses(path: str) -> dict[str, os.stat_result]:
    """The status of everything below a directory, by its path from there."""
    found = {}
    for place, directories, files in os.walk(path):
        for name in (*directories, *files):
            each = os.path.join(place, name)
            found[os.path.relpath(each, path)] = os.lstat(each)
    return found


def facts(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mode, status.st_uid, status.st_gid, status.st_size, status.st_mtime_ns, status.st_ino


@pytest.fixture
def shared(shared_runs: Runs) -> str:
    """An empty directory for the runs."""
    return shared_runs.make("shared")


def test_a_program_that_exceeds_a_mounts_own_limit_is_killed_and_what_it_wrote_stays(
    shared_runs: Runs, shared: str
) -> None:
    kept = mount(shared, writable=True, kept=True, limit=MIB)
    ended = shared_runs.run("head -c 2m /dev/zero > /shared/big; sleep 1000", kept)
    assert ended.code == 125
    assert (
        "the image was ended because it wrote more than 1 MiB, or 262144 files, to /shared, which is the most there; "
        "have the image keep less there"
    ) in ended.error
    assert os.stat(f"{shared}/big").st_size == 2 * MIB
    # Another program may make it smaller, and not larger.
    assert shared_runs.run("sleep 0.3; rm /shared/big; printf x > /shared/small; sleep 0.3", kept).code == 0
    assert os.listdir(shared) == ["small"]
    assert shared_runs.run("head -c 2m /dev/zero > /shared/again", kept).code == 125
    assert "to /shared, which" in shared_runs.run("printf x > /shared/more", kept).error


def test_each_limit_counts_its_own_directory_with_files_without_a_name(
    shared_runs: Runs, shared: str
) -> None:
    other = mount(shared_runs.make("other"), "/other", writable=True)
    limited = mount(shared, writable=True, limit=MIB)
    fill = "exec 3> {0}/file; rm {0}/file; head -c 2m /dev/zero >&3; sleep 0.5"
    ended = shared_runs.run(fill.format("/other"), other, limited, keep_limit=4 * MIB)
    assert (ended.code, ended.error) == (0, "")
    assert "to /shared, which" in shared_runs.run(fill.format("/shared"), other, limited).error
    ended = shared_runs.run(fill.format("/other"), other, limited, keep_limit=MIB)
    assert "wrote more than 1 MiB, or 262144 files, to keep; allow it more" in ended.error


@pytest.mark.parametrize("end", ["exit 3", "kill -9 -1"])
def test_what_is_written_to_a_kept_directory_stays_when_the_program_fails(
    shared_runs: Runs, shared: str, end: str
) -> None:
    ended = shared_runs.run(f"printf password > /shared/root; {end}", mount(shared, writable=True, kept=True))
    assert ended.code != 0
    assert Path(shared, "root").read_text() == "password"


def test_a_kept_directory_of_another_user_is_given_to_the_containers(shared_runs: Runs, shared: str) -> None:
    kept = mount(shared, writable=True, kept=True)
    assert shared_runs.run(TREE, kept, user=1000).code == 0
    outside = Path(shared_runs.make("outside"), "file")
    outside.touch()
    before = facts(outside.stat())
    os.symlink(outside, f"{shared}/out")
    account = shared_runs.shim.account
    os.chown(f"{shared}/out", account.uid, account.gid, follow_symlinks=False)
    ended = shared_runs.run(f"{LIST}; rm -r /shared/dir/inner; printf more >> /shared/file", kept, user=2000)
    assert (ended.code, ended.error) == (0, "")
    user = str(shared_runs.user(2000))
    assert {tuple(fields[2:4]) for fields in listed(ended.result).values()} == {(user, user)}
    assert facts(outside.stat()) == before
    assert Path(shared, "hard").read_text() == "secretmore"


def test_a_directory_of_another_user_is_shown_as_a_copy_for_the_containers(
    shared_runs: Runs, shared: str
) -> None:
    assert shared_runs.run(TREE, mount(shared, writable=True), user=1000).code == 0
    before = {name: facts(status) for name, status in statuses(shared).items()}
    ended = shared_runs.run(LIST, mount(shared, for_user=True), user=2000)
    assert (ended.code, ended.error) == (0, "")
    if not shared_runs.has_several_ids:
        assert listed(ended.result)["./pipe"][0] == "fifo", "it is the directory itself"
        return
    copies, user = listed(ended.result), str(shared_runs.user(2000))
    modes = {name: (fields[0], fields[1]) for name, fields in copies.items() if fields[0] != "symbolic link"}
    assert modes == {
        ".": ("directory", "700"),
        "./file": ("regular file", "600"),
        "./hard": ("regular file", "600"),
        "./none": ("regular file", "400"),
        "./dir": ("directory", "1750"),
        "./dir/inner": ("directory", "755"),
        "./dir/inner/x": ("regular file", "644"),
        "./closed": ("directory", "500"),
        "./closed/y": ("regular file", "755"),
        "./name\xff": ("regular file", "644"),
        "./hole": ("regular file", "644"),
    }
    assert {tuple(fields[2:4]) for fields in copies.values()} == {(user, user)}
    for name, status in statuses(shared).items():
        if not stat.S_ISFIFO(status.st_mode):
            copied = copies[f"./{os.fsencode(name).decode('latin-1')}"]
            assert int(copied[5]) == int(status.st_mtime), name
            assert stat.S_ISDIR(status.st_mode) or int(copied[4]) == status.st_size, name
    assert {name: facts(status) for name, status in statuses(shared).items()} == before, (
        "the original has changed"
    )


def test_the_copy_can_be_read_by_its_user_and_not_be_written(shared_runs: Runs, shared: str) -> None:
    shared_runs.run(TREE, mount(shared, writable=True), user=1000)
    read = (
        'cd /shared; for f in file hard none dir/inner/x closed/y link name*; do cat "$f"; echo; done; '
        "readlink link; readlink dangling; touch /shared/new 2>/dev/null || touch file 2>/dev/null || echo read-only"
    )
    ended = shared_runs.run(read, mount(shared, for_user=True), user=2000)
    contents = ["secret", "secret", "none", "x", "y", "secret", "z"]
    assert ended.result.splitlines() == [*contents, "/shared/file", "/nowhere", "read-only"]


def test_a_directory_of_the_containers_user_is_shown_as_it_is(shared_runs: Runs, shared: str) -> None:
    script = "printf secret > /shared/file; chmod 400 /shared/file; mkdir -m 500 /shared/directory"
    assert shared_runs.run(script, mount(shared, writable=True), user=1000).code == 0
    # The inode tells that it is the file itself.
    script = "cat /shared/file; stat -c ' %i' /shared/file; touch /shared/new 2>/dev/null || echo read-only"
    ended = shared_runs.run(script, mount(shared, for_user=True), user=1000)
    assert ended.result == f"secret {os.stat(f'{shared}/file').st_ino}\nread-only\n"


def test_files_that_an_image_gave_to_others_stay_theirs_for_its_own_user(
    shared_runs: Runs, shared: str
) -> None:
    script = "printf secret > /shared/file; chown $1:$1 /shared/file"
    other = "2000" if shared_runs.has_several_ids else "0"
    script = script.replace("$1", other)
    assert shared_runs.run(script, mount(shared, writable=True), user=0).code == 0
    ended = shared_runs.run("stat -c '%u %i' /shared/file", mount(shared, for_user=True), user=0)
    status = os.stat(f"{shared}/file")
    assert ended.result == f"{shared_runs.user(2000)} {status.st_ino}\n"


def test_directories_nested_deeper_than_a_path_can_be_long_are_given_copied_and_taken_over(
    shared_runs: Runs, shared: str
) -> None:
    kept = mount(shared, writable=True, kept=True)
    assert shared_runs.run(DEEP, kept, user=1000).code == 0
    for deep, user in ((mount(shared, for_user=True), 2000), (kept, 3000)):
        ended = shared_runs.run(READ_DEEP, deep, user=user)
        assert (ended.code, ended.result) == (0, "x"), ended
    with shared_runs.python(TAKE_OVER, shared) as process:
        assert process.communicate() == (b"", b"")


def test_many_files_are_copied(shared_runs: Runs, shared: str) -> None:
    loop = "for d in $(seq 20); do mkdir $d; cd $d; for f in $(seq 100); do echo $f > $f; done; cd ..; done"
    script = f"cd /shared; {loop}"
    assert shared_runs.run(script, mount(shared, writable=True), user=1000).code == 0
    # Also where the files belong to the only user: one of them cannot be read.
    os.chmod(f"{shared}/20/100", 0)
    ended = shared_runs.run(
        "find /shared -type f -exec cat {} + | wc -l", mount(shared, for_user=True), user=2000
    )
    assert ended.result == "2000\n"


def test_a_copy_that_does_not_fit_is_refused_and_nothing_is_run(shared_runs: Runs, shared: str) -> None:
    script = "head -c 9m /dev/zero > /shared/big; chmod 0 /shared/big"
    assert shared_runs.run(script, mount(shared, writable=True), user=1000).code == 0
    kept = mount(shared_runs.make("kept"), "/kept", writable=True, kept=True)
    ended = shared_runs.run("touch /kept/ran", mount(shared, for_user=True), kept, user=2000, memory=8 * MIB)
    if not shared_runs.has_several_ids:
        assert ended.code == 0, "nothing has to be copied"
        return
    assert ended.code == 125
    assert ended.error == (
        "HostError: a directory that another user of an image wrote has to be copied into memory for this image's "
        "user, and does not fit into the 1 GiB that a run has there ([Errno 28] No space left on device: '/shared'); "
        "have less written to it, or run both images as the same user"
    )
    assert os.listdir(f"{shared_runs.directory}/kept") == []
    assert os.listdir(f"{shared_runs.shim.root}/scratch") == []


def test_a_copy_does_not_take_the_room_of_the_home_directory(shared_runs: Runs, shared: str) -> None:
    script = "head -c 5m /dev/zero > /shared/big; chmod 0 /shared/big"
    assert shared_runs.run(script, mount(shared, writable=True), user=1000).code == 0
    ended = shared_runs.run(
        "head -c 5m /dev/zero > /home/big; wc -c < /home/big",
        mount(shared, for_user=True),
        user=2000,
        memory=8 * MIB,
    )
    assert (ended.code, ended.result.strip(), ended.error) == (0, str(5 * MIB), ""), ended


def test_nobody_else_on_the_host_can_read_the_copy(
    shared_runs: Runs, shared: str, accounts: dict[str, Account]
) -> None:
    shared_runs.run(
        "printf secret > /shared/file; chmod 0 /shared/file", mount(shared, writable=True), user=1000
    )
    # For everybody in the container, so that only the way to it is closed.
    os.chmod(shared, 0o777)
    os.chmod(f"{shared}/file", 0o044)
    other = accounts["single" if shared_runs.shim.account.kind == "range" else "range"]
    signal_file = mount(shared_runs.make("signal"), "/signal", writable=True)
    script = "touch /signal/runs; while [ -e /signal/runs ]; do sleep 0.05; done; cat /shared/file"
    with shared_runs.start(script, mount(shared, for_user=True), signal_file, user=2000) as process:
        while not os.path.exists(f"{shared_runs.directory}/signal/runs"):
            assert process.poll() is None, process.communicate()
        text = os.fsencode(shared_runs.directory)
        inside = [
            pid for pid in process_owners() if pid != os.getpid() and mentions(f"/proc/{pid}/mountinfo", text)
        ]
        assert len(inside) >= 3
        scratch = f"{shared_runs.shim.root}/scratch"
        ways = [f"/proc/{pid}/root{path}" for pid in inside for path in ("/shared/file", scratch)]
        assert any(os.path.exists(way) for way in ways), "root sees it"
        tried = subprocess.run(
            ["ls", "-d", *ways],
            user=other.uid,
            group=other.gid,
            extra_groups=[],
            capture_output=True,
            cwd="/",
            check=False,
        )
        assert tried.stdout == b""
        assert b"Permission denied" in tried.stderr
        assert os.listdir(scratch) == [], "the host sees the bundle"
        os.unlink(f"{shared_runs.directory}/signal/runs")
        out, _ = process.communicate(timeout=30)
    assert json.loads(out)["result"] == "secret"


def test_devices_are_not_copied_and_links_lead_nowhere(shared_runs: Runs, shared: str) -> None:
    shared_runs.run(
        "touch /shared/file; chmod 0 /shared/file; mkdir /shared/inner",
        mount(shared, writable=True),
        user=1000,
    )
    Path(shared_runs.directory, "secret").write_text("of the host")
    os.mknod(f"{shared}/inner/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.symlink(f"{shared_runs.directory}/secret", f"{shared}/inner/secret")
    os.symlink(shared_runs.directory, f"{shared}/inner/directory")
    ended = shared_runs.run(
        "cd /shared/inner; ls; cat secret directory/secret 2>/dev/null",
        mount(shared, for_user=True),
        user=2000,
    )
    assert ended.result in ("", "directory\nsecret\n")
    assert ended.code == 1


def test_files_of_ids_that_the_user_namespace_does_not_have_are_copied(
    shared_runs: Runs, shared: str
) -> None:
    """With --userns the store is shown with other ids, and these files would belong to nobody there."""
    if not shared_runs.shim.userns:
        ended = shared_runs.run("printf secret > /shared/file", mount(shared, writable=True), user=0)
        assert ended.code == 0
        return
    path = Path(shared, "file")
    path.write_text("secret")
    for each, mode in ((path, 0o600), (Path(shared), 0o700)):
        each.chmod(mode)
        os.chown(each, 3_000_000, 3_000_000)
    ended = shared_runs.run("cat /shared/file; id -u", mount(shared, for_user=True), user=2000)
    assert (ended.code, ended.result) == (0, "secret2000\n"), ended
    ended = shared_runs.run("cat /shared/file", mount(shared, writable=True, kept=True), user=2000)
    assert (ended.code, ended.result) == (0, "secret"), ended
    assert {path.stat().st_uid, os.stat(shared).st_uid} == {2000}


def test_what_an_image_left_is_taken_over_whatever_ids_it_has(shared_runs: Runs, shared: str) -> None:
    assert shared_runs.run(TREE, mount(shared, writable=True), user=1000).code == 0
    outside = Path(shared_runs.make("outside"), "file")
    outside.touch(mode=0o600)
    before = facts(outside.stat())
    os.symlink(outside, f"{shared}/out")
    links = {name: facts(status) for name, status in statuses(shared).items() if stat.S_ISLNK(status.st_mode)}
    with shared_runs.python(TAKE_OVER, shared) as process:
        assert process.communicate() == (b"", b"")
    account = shared_runs.shim.account
    for name, status in statuses(shared).items():
        if stat.S_ISLNK(status.st_mode):
            assert facts(status) == links.pop(name)
        else:
            assert (status.st_uid, status.st_gid) == (account.uid, account.gid), name
            needed = 0o500 if stat.S_ISDIR(status.st_mode) else 0o400
            assert status.st_mode & needed == needed, name
            assert not status.st_mode & (stat.S_ISUID | stat.S_ISGID), name
    assert links == {}
    assert stat.S_IMODE(os.stat(f"{shared}/file").st_mode) == 0o600
    assert facts(outside.stat()) == before


def test_ids_that_nobody_can_have_are_named_in_one_sentence(shared_runs: Runs, shared: str) -> None:
    Path(shared, "file").touch(mode=0o600)
    for each in (f"{shared}/file", shared):
        os.chown(each, 4_000_000_000, 4_000_000_000)
    is_root = shared_runs.shim.account.kind == "root"
    ended = shared_runs.run("true", mount(shared, for_user=True))
    assert ended.code == (0 if is_root else 125)
    with shared_runs.python(TAKE_OVER, shared) as process:
        err = process.communicate()[1].decode()
    if not is_root:
        assert (
            "cannot be given to this image's user ([Errno 13] Permission denied: '/shared'); run it as"
            in ended.error
        )
        assert f"HostError: {shared} cannot be made yours (" in err


def test_a_directory_that_was_not_given_to_the_end_is_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill may come at any file; the directory itself tells whether all below it has been given."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/file").touch()
    given: list[str | int] = []
    monkeypatch.setattr(os, "chown", lambda name, *_, **__: given.append(name))
    monkeypatch.setattr(os, "fchown", lambda fd, *_: given.append(os.readlink(f"/proc/self/fd/{fd}")))
    other = os.geteuid() + 1
    shared_directories.give(str(tmp_path), (other, other))
    assert given == ["inner", "file", str(tmp_path)]
    shared_directories.give(str(tmp_path), (os.geteuid(), other))
    assert len(given) == 3, "it is the user's already"

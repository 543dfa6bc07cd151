"""`exec --keep DIR`: what a run wrote is left for a look, whoever the image ran as and however the run ended."""

import json
import os
import signal
import stat
from pathlib import Path

import pytest

from installed import Result, Shim, done, refusal
from layouts import File, directory
from pattern_images import PATTERN_METADATA
from script_images import METADATA, ScriptImage

USER = 1000
MIB = 1 << 20
# What a run does to its root: it makes, changes and removes files, in the ways that an overlay has a mark for.
WRITE = r"""
umask 077
mkdir -p /etc/new/deep
echo new > /etc/new/deep/file
echo changed > /etc/changed
rm /etc/removed
rm -r /etc/opaque && mkdir /etc/opaque && echo again > /etc/opaque/again
ln -s /etc/shadow /etc/link
ln /etc/new/deep/file /etc/hard
mkfifo /etc/pipe
chmod 4755 /etc/changed
chmod 0 /etc/new/deep
echo home > "$HOME/.state"
echo out > "$OUT_CONFIG/config"
"""
SCRIPT = f"""case $1 in
metadata) {METADATA}; echo noted > /etc/noted ;;
configure)
    config=$(cat)
    {WRITE}
    case $config in *fail*) exit 3 ;; *hang*) echo up; exec sleep 1000 ;; *sparse*) truncate -s 100G /etc/sparse ;; esac
    ;;
setup) test "$IN_CONFIG" && echo 'A: "1"' ;;
esac"""
FILES = {
    "etc/": directory(0o777),
    **{f"etc/{name}": File(b"image\n", 0o666) for name in ("changed", "removed", "same")},
    "etc/opaque/": directory(0o777),
    "etc/opaque/hidden": "x",
}


@pytest.fixture(params=["", f"{USER}:{USER}"], ids=["as-root", "as-user"])
def image(request: pytest.FixtureRequest, script_image: ScriptImage) -> str:
    return script_image(SCRIPT, files=FILES, user=request.param)


@pytest.fixture
def root_image(script_image: ScriptImage) -> str:
    return script_image(SCRIPT, files=FILES)


def kept(shim: Shim) -> Path:
    """Where the runs of these tests keep what they wrote."""
    return Path(shim.root).parent / "kept"


def configure(shim: Shim, image: str, *options: str, config: str = "{}") -> Result:
    return shim.run(
        "exec",
        image,
        "configure",
        "--config",
        "-",
        "--keep",
        str(kept(shim)),
        *options,
        stdin=config.encode(),
    )


def tree(path: Path) -> dict[str, str]:
    """The files in a directory with their contents, links with what they lead to, and directories."""
    found = {}
    for place, directories, files in os.walk(path):
        for name in (*directories, *files):
            each = Path(place, name)
            text = (
                f"-> {os.readlink(each)}" if each.is_symlink() else "/" if each.is_dir() else each.read_text()
            )
            found[str(each.relative_to(path))] = text
    return found


def check_kept(shim: Shim) -> None:
    path = kept(shim)
    names = {"README", "config.json", "removed", "root", "home", "out"}
    assert {each.name for each in path.iterdir()} == names
    assert tree(path / "root") == {
        "etc": "/",
        "etc/new": "/",
        "etc/new/deep": "/",
        "etc/new/deep/file": "new\n",
        "etc/hard": "new\n",
        "etc/changed": "changed\n",
        "etc/opaque": "/",
        "etc/opaque/again": "again\n",
        "etc/link": "-> /etc/shadow",
    }
    assert sorted((path / "removed").read_text().splitlines()) == ["/etc/opaque/*", "/etc/removed"]
    assert tree(path / "home") == {".state": "home\n"}
    assert tree(path / "out") == {"config": "out\n"}
    assert json.loads((path / "config.json").read_text())["process"]["args"] == ["/entrypoint", "configure"]
    assert os.path.samefile(path / "root/etc/hard", path / "root/etc/new/deep/file")
    for each in (path, *path.rglob("*")):
        status = each.lstat()
        assert (status.st_uid, status.st_gid) == (shim.account.uid, shim.account.gid), each
        if not each.is_symlink():
            assert status.st_mode & 0o400, each
            assert not status.st_mode & (stat.S_ISUID | stat.S_ISGID), each
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_what_a_run_wrote_is_left_and_belongs_to_the_caller(confined_shim: Shim, image: str) -> None:
    said = done(configure(confined_shim, image)).err.decode()
    check_kept(confined_shim)
    assert f"what the run wrote is in {kept(confined_shim)}, with its secrets" in said
    # What is in force is not what was kept.
    assert json.loads(done(confined_shim.run("clouds", "--json")).out) != []


def test_it_is_left_where_the_operation_fails(shim: Shim, root_image: str) -> None:
    result = configure(shim, root_image, config='{"do": "fail"}')
    assert result.code == 3
    check_kept(shim)
    assert json.loads(done(shim.run("clouds", "--json")).out) == []


def test_it_is_left_where_the_time_is_up(shim: Shim, root_image: str) -> None:
    assert configure(shim, root_image, "--timeout", "3", config='{"do": "hang"}').code == 124
    check_kept(shim)


def test_it_is_left_after_a_signal(shim: Shim, root_image: str) -> None:
    call = ("exec", root_image, "configure", "--config", "-", "--keep", str(kept(shim)))
    with shim.start(*call, stdin=-1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"do": "hang"}')
        process.stdin.close()
        process.stdin = None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    check_kept(shim)


def test_it_is_left_with_a_layer_on_disk(shim: Shim, root_image: str) -> None:
    scratch = Path(shim.root).parent / "scratch"
    scratch.mkdir()
    os.chown(scratch, shim.account.uid, shim.account.gid)
    done(configure(shim, root_image, "--scratch", str(scratch)))
    check_kept(shim)
    assert os.listdir(scratch) == []


def test_holes_stay_holes(shim: Shim, root_image: str) -> None:
    done(configure(shim, root_image, config='{"do": "sparse"}'))
    status = (kept(shim) / "root/etc/sparse").stat()
    assert status.st_size == 100 << 30
    assert status.st_blocks * 512 < MIB


def test_a_read_only_root_has_only_the_other_directories(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(f'case $1 in metadata) {METADATA} ;; configure) echo x > "$OUT_CONFIG/x" ;; esac')
    done(configure(shim, image, "--read-only"))
    assert tree(kept(shim) / "root") == {}
    assert tree(kept(shim) / "out") == {"x": "x\n"}


def test_metadata_is_asked_again(shim: Shim, root_image: str) -> None:
    done(shim.run("exec", root_image, "metadata"))
    out = done(shim.run("exec", root_image, "metadata", "--keep", str(kept(shim)))).out
    assert b'name: "n"' in out
    assert tree(kept(shim) / "root") == {"etc": "/", "etc/noted": "noted\n"}


def test_a_pattern_leaves_its_own_run_and_not_that_of_its_backend(
    shim: Shim, script_image: ScriptImage
) -> None:
    backend = script_image(
        f'case $1 in metadata) {METADATA} ;; setup) echo "A: b"; echo x > /backend ;; esac'
    )
    pattern = script_image(
        f"""case $1 in metadata) {PATTERN_METADATA} ;; provision)
        echo secret > "$CREDSTORE/password"; echo y > "$OUTPUTS/y"; echo z > /pattern ;; esac""",
        user=f"{USER}:{USER}",
        files={"./": directory(0o777)},
    )
    done(shim.run("exec", backend, "configure", "--config", "-", stdin=b"{}"))
    done(shim.run("exec", pattern, "provision", "--keep", str(kept(shim))))
    assert tree(kept(shim) / "root") == {"pattern": "z\n"}
    assert tree(kept(shim) / "credstore") == {"password": "secret\n"}
    assert tree(kept(shim) / "outputs") == {"y": "y\n"}


def test_a_program_that_cannot_be_started_leaves_what_the_runtime_was_given(
    shim: Shim, root_image: str, public_directory: str
) -> None:
    runtime = Path(public_directory, f"failing-{shim.account.kind}")
    runtime.write_text('#!/bin/sh\necho \'{"level": "error", "msg": "no luck"}\' > "$4"; exit 1\n')
    runtime.chmod(0o755)
    failing = shim._replace(runtime=str(runtime))
    assert failing.run("exec", root_image, "metadata", "--keep", str(kept(shim))).code == 125
    assert {"README", "config.json", "runtime.log"} <= set(os.listdir(kept(shim)))
    assert "no luck" in (kept(shim) / "runtime.log").read_text()


@pytest.mark.parametrize("is_there", [False, True])
def test_a_run_that_is_refused_leaves_the_directory_as_it_was(
    shim: Shim, root_image: str, is_there: bool
) -> None:
    if is_there:
        kept(shim).mkdir()
        os.chown(kept(shim), shim.account.uid, shim.account.gid)
    assert shim.run("exec", root_image, "setup", "--keep", str(kept(shim))).code == 125
    assert kept(shim).exists() == is_there
    assert not is_there or os.listdir(kept(shim)) == []


def test_a_directory_that_cannot_be_used_is_refused_before_anything_is_pulled(
    shim: Shim, root_image: str
) -> None:
    kept(shim).mkdir()
    for path in (kept(shim), kept(shim) / "mine"):
        path.touch()
        os.chown(path, shim.account.uid, shim.account.gid)
    said = refusal(configure(shim, root_image))
    assert f"{kept(shim)} is not empty; name a directory that is new or empty" in said
    assert os.listdir(kept(shim)) == ["mine"]
    said = refusal(shim.run("exec", root_image, "metadata", "--keep", str(kept(shim) / "no" / "where")))
    assert "cannot be used as a directory for output (No such file or directory)" in said
    assert not os.path.exists(os.path.join(shim.root, "rootfs"))

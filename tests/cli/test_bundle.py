"""`bundle`: the OCI runtime itself starts what it writes, as root, rootless and in a user namespace of root's."""

import json
import os
import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from accounts import Account
from installed import Result, Shim, done, fresh_shim, refusal
from layouts import File, directory
from pattern_images import PATTERN_METADATA
from script_images import METADATA, ScriptImage

USER = 1000
SCRIPT = f"""case $1 in
metadata) {METADATA} ;;
configure)
    cat > "$OUT_CONFIG/config"
    chmod 600 "$OUT_CONFIG/config"
    echo "$(id -u):$(id -g)"
    echo home > "$HOME/file"
    rm /etc/removed && echo removed
    stat -c %u:%g /owned /etc/removed-not
    ;;
setup)
    echo "CONFIG: '$(cat "$IN_CONFIG/config")'"
    (echo x > "$IN_CONFIG/other") 2>/dev/null && echo "BAD: written"
    echo made > "$OUT_CONFIG/made"
    ;;
teardown) cat "$IN_CONFIG/made" ;;
esac"""
PATTERN = f"""case $1 in
metadata) {PATTERN_METADATA} ;;
provision)
    echo secret > "$CREDSTORE/password"
    echo x > "$OUTPUTS/x"
    cat "$INPUTS" ;;
bind) echo "password: $(cat "$CREDSTORE/password")" ;;
unbind) test -e "$CREDSTORE/password" && cat "$BINDING" ;;
deprovision) rm "$CREDSTORE/password" && cat "$INPUTS" ;;
esac"""
FILES = {
    # The user has to be able to remove a file.
    "etc/": directory(0o777),
    "etc/removed": "x",
    "etc/removed-not": "x",
    "owned": File(b"x", 0o600, USER, USER),
}


@pytest.fixture
def image(script_image: ScriptImage) -> str:
    return script_image(SCRIPT, files=FILES)


@pytest.fixture(params=["", f"{USER}:{USER}"], ids=["as-root", "as-user"])
def users_image(request: pytest.FixtureRequest, script_image: ScriptImage) -> str:
    return script_image(SCRIPT, files=FILES, user=request.param)


def bundle(
    shim: Shim, image: str, operation: str, *options: str, name: str = "bundle"
) -> tuple[str, list[str]]:
    """Write a bundle; return its path and the command that the shim printed."""
    parent = os.path.dirname(shim.root)
    if shim.userns:
        # The container's root is another user there.
        os.chmod(parent, 0o711)
    path = os.path.join(parent, name)
    command = shlex.split(done(shim.run("bundle", image, operation, path, *options)).out.decode())
    return path, command


def start(shim: Shim, command: list[str], stdin: bytes = b"") -> Result:
    """Run a command as the shim's user, without the shim."""
    ended = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        env=shim.environment(),
        cwd="/",
        user=shim.account.uid,
        group=shim.account.gid,
        extra_groups=[],
        timeout=60,
        check=False,
    )
    return Result(ended.returncode, ended.stdout, ended.stderr)


def configured(shim: Shim, image: str, cloud: str = "default") -> None:
    done(shim.run("exec", image, "configure", "--config", "-", "--cloud", cloud, stdin=b'{"a": "secret"}'))


def test_the_runtime_starts_it_for_metadata(confined_shim: Shim, users_image: str) -> None:
    path, command = bundle(confined_shim, users_image, "metadata")
    assert command[0] == confined_shim.runtime
    assert command[-4:] == ["run", "--bundle", path, "tweed-metadata"]
    assert b"backend: tweed/v1" in done(start(confined_shim, command)).out
    # It can be started again, as a process that is looked at is.
    assert b"backend: tweed/v1" in done(start(confined_shim, command)).out


def test_configure_reads_stdin_and_leaves_its_files_in_the_bundle(
    confined_shim: Shim, users_image: str
) -> None:
    shim = confined_shim
    done(shim.run("exec", users_image, "metadata"))
    path, command = bundle(shim, users_image, "configure")
    out = done(start(shim, command, b'{"a": 1}')).out.decode().splitlines()
    user = out[0]
    assert out[1] == "removed"
    single = shim.account.kind == "single"
    assert out[2:] == (["0:0", "0:0"] if single else [f"{USER}:{USER}", "0:0"])
    assert user in ("0:0", f"{USER}:{USER}")
    assert Path(path, "out", "config").read_text() == '{"a": 1}'
    assert Path(path, "home", "file").read_text() == "home\n"
    assert not os.path.exists(os.path.join(path, "rootfs", "etc", "removed"))
    # Neither the store's image nor its clouds have changed.
    assert json.loads(done(shim.run("clouds", "--json")).out) == []
    assert done(shim.run("fsck")).code == 0


def test_setup_has_a_copy_of_the_configuration(confined_shim: Shim, users_image: str) -> None:
    shim = confined_shim
    configured(shim, users_image)
    path, command = bundle(shim, users_image, "setup")
    assert done(start(shim, command)).out == b'CONFIG: \'{"a": "secret"}\'\n'
    assert Path(path, "out", "made").read_text() == "made\n"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    # What is changed in the bundle stays there.
    Path(path, "in", "config").write_text("other")
    assert b"secret" in done(shim.run("exec", users_image, "setup")).out
    assert b"other" in done(start(shim, command)).out


def test_teardown_has_a_copy_of_what_the_setup_wrote(shim: Shim, image: str) -> None:
    configured(shim, image)
    done(shim.run("exec", image, "setup", "--interaction", "i"))
    _, command = bundle(shim, image, "teardown", "--interaction", "i")
    assert done(start(shim, command)).out == b"made\n"
    assert done(shim.run("exec", image, "teardown", "--interaction", "i")).out == b"made\n"


def test_an_operation_of_a_pattern_has_copies_of_its_instance(
    confined_shim: Shim, script_image: ScriptImage
) -> None:
    shim = confined_shim
    image = script_image(PATTERN, user=f"{USER}:{USER}")
    fresh, command = bundle(shim, image, "provision", name="fresh")
    Path(fresh, "input", "inputs.json").write_text('{"size": 3}')
    assert done(start(shim, command)).out == b'{"size": 3}'
    assert Path(fresh, "credstore", "password").read_text() == "secret\n"
    done(shim.run("exec", image, "provision", "--no-backend", "--inputs", "-", stdin=b'{"size": 5}'))
    done(shim.run("exec", image, "bind"))
    for operation, said in (("unbind", b'{"password": "secret"}'), ("deprovision", b'{"size":5}')):
        path, command = bundle(shim, image, operation, name=operation)
        assert done(start(shim, command)).out.replace(b" ", b"").strip() == said.replace(b" ", b"")
    # The run by hand has changed its own copy.
    assert not os.path.exists(os.path.join(path, "credstore", "password"))
    assert done(shim.run("exec", image, "deprovision")).out.replace(b" ", b"").strip() == b'{"size":5}'


def test_what_is_not_recorded_is_empty_with_a_warning(shim: Shim, image: str) -> None:
    path = os.path.join(os.path.dirname(shim.root), "bundle")
    result = done(shim.run("bundle", image, "setup", path))
    assert b"warning" not in result.out
    assert b"nothing is configured in cloud 'default'" in result.err
    assert os.listdir(os.path.join(path, "in")) == []


def test_the_options_are_those_of_the_run(shim: Shim, image: str) -> None:
    path, command = bundle(shim, image, "check", "--network", "none", "--read-only", "--cap-drop", "ALL")
    bundled = json.loads(Path(path, "config.json").read_text())
    spec = json.loads(
        done(shim.run("spec", image, "check", "--network", "none", "--read-only", "--cap-drop", "ALL")).out
    )
    assert bundled["root"] == spec["root"] == {"path": "rootfs", "readonly": True}
    if shim.account.kind != "root":
        # A runtime that is not run by root sets none.
        del spec["process"]["user"]["additionalGids"]
    assert bundled["process"] == spec["process"]
    assert sorted(each["destination"] for each in bundled["mounts"]) == sorted(
        each["destination"] for each in spec["mounts"]
    )
    assert all(shim.root not in each["source"] for each in bundled["mounts"])
    assert done(start(shim, command)).code == 0


def test_another_image_gets_no_state(shim: Shim, image: str, script_image: ScriptImage) -> None:
    configured(shim, image)
    path = os.path.join(os.path.dirname(shim.root), "bundle")
    other = script_image(SCRIPT)
    result = shim.run("bundle", other, "setup", path)
    assert (result.code, result.out) == (125, b"")
    assert b"was configured by" in result.err
    assert not os.path.exists(path)


def test_another_version_of_an_image_gets_no_state_of_an_instance(
    shim: Shim, script_image: ScriptImage
) -> None:
    image, newer = script_image(PATTERN), script_image(f"{PATTERN}\n# newer")
    done(shim.run("exec", image, "provision", "--no-backend"))
    # The newer version comes to the path of the one that provisioned the instance.
    path, newer_path = image.removeprefix("oci:"), newer.removeprefix("oci:")
    os.rename(path, f"{path}-old")
    os.rename(newer_path, path)
    for command in (("bundle", image, "deprovision", "bundle"), ("shell", image, "deprovision")):
        result = shim.run(*command)
        assert (result.code, result.out) == (125, b"")
        assert b"another version" in result.err


def test_a_directory_with_something_in_it_is_refused_and_kept(shim: Shim, image: str) -> None:
    path = Path(shim.root).parent / "bundle"
    path.mkdir(0o755)
    (path / "mine").touch()
    for each in (path, path / "mine"):
        os.chown(each, shim.account.uid, shim.account.gid)
    said = refusal(shim.run("bundle", image, "setup", str(path)))
    assert f"{path} is not empty; name a directory that is new or empty" in said
    assert os.listdir(path) == ["mine"]
    # Nothing was pulled.
    assert not os.path.exists(os.path.join(shim.root, "rootfs"))


def test_an_empty_directory_becomes_private(shim: Shim, image: str) -> None:
    path = Path(shim.root).parent / "bundle"
    path.mkdir(0o755)
    os.chown(path, shim.account.uid, shim.account.gid)
    _, command = bundle(shim, image, "metadata")
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert done(start(shim, command)).code == 0


@pytest.mark.parametrize("is_there", [False, True])
def test_a_failure_leaves_nothing(shim: Shim, image: str, is_there: bool) -> None:
    configured(shim, image)
    path = Path(shim.root).parent / "bundle"
    if is_there:
        path.mkdir(0o700)
        os.chown(path, shim.account.uid, shim.account.gid)
    [config] = Path(shim.root, "clouds", "default", "config").glob("[0-9]*")
    # The last part that is copied is missing.
    (config / "data").rename(config / "moved")
    assert "cannot be written" in refusal(shim.run("bundle", image, "setup", str(path)))
    assert path.exists() == is_there
    assert not is_there or os.listdir(path) == []


def test_a_directory_that_the_root_of_the_namespace_cannot_reach_is_refused(
    accounts: dict[str, Account], program: str, userns_ids: None, image: str
) -> None:
    with fresh_shim(accounts["root"], program, userns=True) as shim:
        path = os.path.join(os.path.dirname(shim.root), "bundle")
        said = refusal(shim.run("bundle", image, "setup", path))
        assert f"who may not enter {os.path.dirname(path)}; name a directory" in said


def test_pasta_is_refused(shim: Shim, image: str) -> None:
    path = os.path.join(os.path.dirname(shim.root), "bundle")
    assert "--network pasta" in refusal(shim.run("bundle", image, "setup", path, "--network", "pasta"))
    assert not os.path.exists(path)

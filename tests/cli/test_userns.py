"""`--userns`: as the host's root, in a user namespace of the container's own."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from accounts import Account
from components import component, make_archive
from installed import Result, Shim, fresh_shim
from layouts import File
from script_images import METADATA, ScriptImage
from toi_packages import executor_layout, package, with_executor
from tweed_shim.host.userns import IdMap
from tweed_shim.runner import RunOptions
from tweed_shim.runtime import security_options
from tweed_shim.runtime.cgroups import Cgroups
from tweed_shim.runtime.host import Host

SCRIPT = f"""
if [ "$1" = metadata ]; then {METADATA}; exit; fi
if [ "$1" = configure ]; then
    cat > "$OUT_CONFIG/file"
    touch "$HOME/file"
fi
if [ "$1" = check ]; then cat "$IN_CONFIG/file" > /dev/null || exit 7; fi
{{ cat /proc/self/uid_map
  for each in / /owned "$HOME" ${{OUT_CONFIG-}} ${{IN_CONFIG-}}; do echo "$each $(stat -c %u:%g $each)"; done
  touch /made 2> /dev/null && echo "root writable"
  grep -E '^overlay / ' /proc/mounts
}}
"""


@pytest.fixture
def root_shim(accounts: dict[str, Account], program: str) -> Iterator[Shim]:
    with fresh_shim(accounts["root"], program) as fresh:
        yield fresh


@pytest.fixture
def image(script_image: ScriptImage) -> str:
    return script_image(SCRIPT, files={"owned": File(b"x", uid=5, gid=6)})


def call(shim: Shim, *arguments: str, stdin: bytes | None = None) -> Result:
    done = shim.run("exec", *arguments, stdin=stdin)
    assert done.code == 0, done
    return done


def owners(text: bytes) -> dict[str, str]:
    return dict(re.findall(r"^(/\S*) (\d+:\d+)$", text.decode(), re.MULTILINE))


def test_without_ids_it_is_refused_before_anything(
    accounts: dict[str, Account], program: str, image: str, tmp_path: Path
) -> None:
    wrapper = tmp_path / "on-a-host-without-ids"
    hide = "mount --bind /dev/null /etc/subuid && mount --bind /dev/null /etc/subgid"
    wrapper.write_text(f'#!/bin/sh\nexec unshare --mount sh -c \'{hide} && exec {program} "$@"\' sh "$@"\n')
    wrapper.chmod(0o755)
    with fresh_shim(accounts["root"], str(wrapper)) as shim:
        for options, env in ((["--userns"], {}), ([], {"TWEED_SHIM_USERNS": "1"})):
            done = shim.run("exec", image, "metadata", *options, env=env)
            assert done.code == 125
            assert b"--userns has no ids to use" in done.err
            assert b"tee -a /etc/subuid /etc/subgid" in done.err
        assert not os.path.exists(os.path.join(shim.root, "runs"))


@pytest.mark.parametrize(
    "options", [(), ("--read-only",), ("--scratch",), ("--network", "none")], ids=" ".join
)
def test_ids_inside_are_those_of_the_image_and_others_outside(
    root_shim: Shim, userns_ids: None, image: str, options: tuple[str, ...]
) -> None:
    scratch = os.path.join(os.path.dirname(root_shim.root), "scratch")
    os.mkdir(scratch)
    more = ("--scratch", scratch) if options == ("--scratch",) else options
    done = call(root_shim, image, "configure", "--userns", *more, stdin=b"{}")
    inside, outside, _ = map(int, done.out.split()[:3])
    assert inside == 0 < outside
    assert owners(done.out) == {"/": "0:0", "/owned": "5:6", "/tweed/home": "0:0", "/tweed/out": "0:0"}
    assert (b"root writable" in done.out) == (options != ("--read-only",))
    assert b"nodev" in done.out
    assert os.listdir(scratch) == []


def test_a_user_of_the_image_is_one_in_the_namespace_too(
    root_shim: Shim, userns_ids: None, script_image: ScriptImage
) -> None:
    image = script_image(SCRIPT, files={"owned": File(b"x", uid=5, gid=6)}, user="1234:1235")
    done = call(root_shim, image, "configure", "--userns", stdin=b"{}")
    assert owners(done.out)["/tweed/out"] == owners(done.out)["/tweed/home"] == "1234:1235"


def test_clouds_are_shared_by_runs_with_and_without_the_namespace(
    root_shim: Shim, userns_ids: None, image: str
) -> None:
    call(root_shim, image, "configure", "--userns", stdin=b"{}")
    data = os.path.join(root_shim.root, "clouds", "default", "config", "current", "data")
    assert os.stat(os.path.join(data, "file")).st_uid == 0
    assert owners(call(root_shim, image, "check").out)["/tweed/in"] == "0:0"
    call(root_shim, image, "configure", stdin=b"{}")
    assert owners(call(root_shim, image, "check", "--userns").out)["/tweed/in"] == "0:0"


def test_what_an_executor_is_given_and_makes_is_its_users_in_the_namespace(
    root_shim: Shim, userns_ids: None, tmp_path: Path
) -> None:
    script = (
        "cd /toi; stat -c '- owner %u:%g of %n' inputs inputs/ocmrepo outputs > outputs/owners; "
        "cat /proc/self/uid_map > outputs/map; chmod 0 outputs/map"
    )
    layout = executor_layout(str(tmp_path / "image"), script, user="1234:1235")
    outputs = {"owners": "owners", "map": "map"}
    app = component(
        "example.com/app",
        "1.0.0",
        [package({"executors": [{"resourceRef": {"resource": {"name": "image"}}, "outputs": outputs}]})],
    )
    archive = make_archive(tmp_path / "archive", with_executor(app, layout))
    done = root_shim.run(
        "toi", "bootstrap", "--ocmconfig", "None", "--userns", "install", f"{archive}//example.com/app:1.0.0"
    )
    assert done.code == 0, done
    found = yaml.safe_load(done.out)["outputs"]
    inside, outside, _ = map(int, found["map"].split())
    assert inside == 0 < outside
    assert found["owners"] == [
        f"owner 1234:1235 of {name}" for name in ("inputs", "inputs/ocmrepo", "outputs")
    ]
    assert os.listdir(os.path.join(root_shim.root, "tmp")) == []


def test_limits_hold_in_the_namespace(root_shim: Shim, userns_ids: None, script_image: ScriptImage) -> None:
    image = script_image(
        f'if [ "$1" = metadata ]; then {METADATA}; exit; fi; x=0123456789; while :; do x=$x$x; done'
    )
    done = root_shim.run("exec", image, "configure", "--userns", "--memory", "64m", stdin=b"{}")
    assert b"its memory limit was reached" in done.err


def test_the_namespace_is_in_the_specification(root_shim: Shim, userns_ids: None, image: str) -> None:
    done = root_shim.run("spec", image, "check", "--userns")
    linux = json.loads(done.out)["linux"]
    assert {"type": "user"} in linux["namespaces"]
    assert linux["uidMappings"][0]["containerID"] == linux["gidMappings"][0]["containerID"] == 0
    assert linux["uidMappings"][0]["hostID"] > 0


def seen_by_a_user_with_the_ids_of_the_image(
    shim: Shim, script_image: ScriptImage, user: Account, *options: str, env: dict[str, str] | None = None
) -> set[str]:
    """What a user of the host, whose ids the image's User has, reads of the processes of a run of root's."""
    image = script_image(
        "trap exit TERM; echo begun >&2; sleep 1000 & wait",
        user=f"{user.uid}:{user.gid}",
        env=["SECRET=of-the-operator"],
    )
    with shim.start("exec", image, "metadata", *options, env=env) as process:
        assert process.stderr is not None
        try:
            assert b"begun\n" in iter(process.stderr.readline, b"")
            look = (
                "for each in /proc/[0-9]*; do "
                "{ tr '\\0' '\\n' < $each/environ | grep ^SECRET= && ls $each/root/; } 2> /dev/null; done"
            )
            found = subprocess.run(
                ["sh", "-c", look], user=user.uid, group=user.gid, extra_groups=[], capture_output=True
            )
        finally:
            process.terminate()
            process.communicate()
    return set(found.stdout.decode().split())


def test_a_user_with_the_ids_of_the_image_reads_its_memory_unless_there_is_a_namespace(
    root_shim: Shim, userns_ids: None, script_image: ScriptImage, accounts: dict[str, Account]
) -> None:
    seen = {"SECRET=of-the-operator", "entrypoint"}
    user = accounts["single"]

    def look(*options: str, env: dict[str, str] | None = None) -> set[str]:
        return seen_by_a_user_with_the_ids_of_the_image(root_shim, script_image, user, *options, env=env)

    # The limit that docs/security.md states.
    assert look() & seen == seen
    assert look("--userns") == set()
    assert look(env={"TWEED_SHIM_USERNS": "1"}) == set()
    assert look("--no-userns", env={"TWEED_SHIM_USERNS": "1"}) & seen == seen


def has_namespace(shim: Shim, image: str, *options: str, variable: str | None) -> bool:
    env = {} if variable is None else {"TWEED_SHIM_USERNS": variable}
    done = shim.run("spec", image, "check", *options, env=env)
    assert done.code == 0, done
    return {"type": "user"} in json.loads(done.out)["linux"]["namespaces"]


def test_a_variable_makes_it_the_default(root_shim: Shim, userns_ids: None, image: str) -> None:
    call(root_shim, image, "configure", stdin=b"{}")
    for variable, expected in ((None, False), ("", False), ("0", False), ("1", True)):
        assert has_namespace(root_shim, image, variable=variable) == expected
    assert not has_namespace(root_shim, image, "--no-userns", variable="1")
    assert not has_namespace(root_shim, image, "--userns", "--no-userns", variable="1")
    assert has_namespace(root_shim, image, "--no-userns", "--userns", variable="0")


@pytest.mark.parametrize("value", ["yes", "true", "2", " 1"])
def test_a_variable_that_says_neither_is_refused(root_shim: Shim, image: str, value: str) -> None:
    done = root_shim.run("exec", image, "metadata", env={"TWEED_SHIM_USERNS": value})
    assert (done.code, done.err.count(b"\n")) == (125, 1)
    assert f"$TWEED_SHIM_USERNS is {value!r}, which is neither 1 nor 0; set it to 1".encode() in done.err
    assert not os.path.exists(root_shim.root)


def test_the_variable_counts_for_the_python_api_too(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def granted() -> IdMap:
        asked.append(True)
        return IdMap("range")

    monkeypatch.setattr(security_options, "granted_to_root", granted)
    found = Host(IdMap("host"), Cgroups(0), 1024, frozenset(), "x86_64")
    for variable, options, expected in (
        ("1", RunOptions(), True),
        ("0", RunOptions(), False),
        ("1", RunOptions(userns=False), False),
        ("0", RunOptions(userns=True), True),
    ):
        monkeypatch.setenv("TWEED_SHIM_USERNS", variable)
        assert (security_options.resolve(options, found).userns is not None) == expected
    assert len(asked) == 2


def test_others_have_a_namespace_anyway(accounts: dict[str, Account], program: str, image: str) -> None:
    for kind in ("range", "single"):
        with fresh_shim(accounts[kind], program) as shim:
            done = call(shim, image, "configure", "--userns", stdin=b"{}")
            assert int(done.out.split()[1]) == accounts[kind].uid


@pytest.mark.parametrize("user", ["", "1234"])
@pytest.mark.parametrize("options", [("--userns",), ()], ids=["userns", "host"])
def test_the_streams_can_be_opened_again_by_their_names(
    root_shim: Shim, userns_ids: None, script_image: ScriptImage, user: str, options: tuple[str, ...]
) -> None:
    script = f"""
        echo to-stderr > /dev/stderr || exit
        if [ "$1" = metadata ]; then {METADATA} > /dev/stdout; exit; fi
        cat /dev/stdin > /dev/null && echo to-stdout > /dev/stdout
    """
    image = script_image(script, user=user)
    done = root_shim.run("exec", image, "metadata", *options)
    assert (done.code, b"to-stderr" in done.err) == (0, True), done
    done = root_shim.run("exec", image, "configure", *options, stdin=b"{}")
    assert (done.code, done.out) == (0, b"to-stderr\nto-stdout\n"), done

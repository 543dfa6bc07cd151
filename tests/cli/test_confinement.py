"""`--cap-add`, `--cap-drop` and `--seccomp` through the installed program."""

import json
import os
from typing import Any

import pytest

from accounts import AS_ONE_USER
from installed import Shim
from script_images import METADATA, ScriptImage

STATUS = f"grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status >&2; {METADATA}"


def status(shim: Shim, image: str, *options: str) -> dict[str, int]:
    done = shim.run("exec", image, "metadata", *options)
    assert done.code == 0, done
    lines = [
        line.split() for line in done.err.decode().splitlines() if line.startswith(("Cap", "NoNew", "Secc"))
    ]
    return {name.rstrip(":"): int(value, 16) for name, value in lines}


def spec(shim: Shim, image: str, *options: str) -> Any:
    done = shim.run("spec", image, "metadata", *options)
    assert done.code == 0, done
    return json.loads(done.out)


def test_what_a_program_has_without_any_option(shim: Shim, script_image: ScriptImage) -> None:
    seen = status(shim, script_image(STATUS))
    usual = sum(1 << number for number in (0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 31))
    assert seen == {
        "CapInh": 0,
        "CapPrm": usual,
        "CapEff": usual,
        "CapBnd": usual,
        "CapAmb": 0,
        "NoNewPrivs": 1,
        "Seccomp": 2,
    }


def test_capabilities_are_added_and_dropped(shim: Shim, script_image: ScriptImage) -> None:
    seen = status(
        shim, script_image(STATUS), "--cap-drop", "ALL", "--cap-add", "net_raw", "--cap-add", "CAP_KILL"
    )
    assert seen["CapEff"] == seen["CapBnd"] == 1 << 13 | 1 << 5


def test_every_capability_can_be_dropped_and_new_privileges_stay_out_of_reach(
    shim: Shim, script_image: ScriptImage
) -> None:
    seen = status(shim, script_image(STATUS), "--cap-drop", "all", "--seccomp", "unconfined")
    assert seen == {
        "CapInh": 0,
        "CapPrm": 0,
        "CapEff": 0,
        "CapBnd": 0,
        "CapAmb": 0,
        "NoNewPrivs": 1,
        "Seccomp": 0,
    }


def test_a_user_other_than_root_has_the_added_capabilities(shim: Shim, script_image: ScriptImage) -> None:
    if shim.account.kind == "single":
        pytest.skip("with one id every image runs as root")
    image = script_image(STATUS, user="1234:1235")
    assert status(shim, image)["CapEff"] == 0
    assert shim.run("rm", image).code == 0
    assert status(shim, image, "--cap-add", "NET_BIND_SERVICE")["CapEff"] == 1 << 10


def test_all_capabilities_can_be_added(shim: Shim, script_image: ScriptImage) -> None:
    seen = status(shim, script_image(STATUS), "--cap-add", "ALL", "--cap-drop", "SYS_ADMIN")
    assert seen["CapEff"] & (1 << 13 | 1 << 23)
    assert not seen["CapEff"] & 1 << 21


def test_a_profile_of_the_users_own_is_used(shim: Shim, script_image: ScriptImage) -> None:
    path = os.path.join(shim.account.home, "profile.json")
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}, file)
    os.chmod(path, 0o644)
    image = script_image(f"mkdir /x 2>&1 | grep -q 'No space' && {METADATA}")
    assert shim.run("exec", image, "metadata", "--seccomp", path).code == 0
    assert spec(shim, image, "--seccomp", path)["linux"]["seccomp"]["syscalls"] == [rule]


def test_the_profile_is_shown_by_spec(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(METADATA)
    shown = spec(shim, image)["linux"]["seccomp"]
    assert shown["defaultAction"] == "SCMP_ACT_ERRNO"
    assert "seccomp" not in spec(shim, image, "--seccomp", "unconfined")["linux"]


@AS_ONE_USER
@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--cap-add", "FLY"), 2, "there is no capability 'FLY'"),
        (("--cap-drop", ""), 2, "there is no capability ''"),
        (("--cap-add", "KILL", "--cap-drop", "kill"), 125, "CAP_KILL is to be added and dropped"),
        (("--seccomp", "/nowhere"), 125, "the seccomp profile '/nowhere' cannot be read"),
        (("--seccomp", "/etc/passwd"), 125, "the seccomp profile /etc/passwd is not JSON"),
    ],
)
def test_unsupported_security_options_are_refused_before_a_pull(
    shim: Shim, script_image: ScriptImage, options: tuple[str, ...], code: int, words: str
) -> None:
    done = shim.run("exec", script_image(METADATA), "metadata", *options)
    assert done.code == code
    assert words in done.err.decode()
    assert not os.path.exists(os.path.join(shim.root, "runs"))

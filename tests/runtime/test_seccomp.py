"""The seccomp profile, and the user's own."""

import ctypes
import errno
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tweed_shim.errors import ConfigError
from tweed_shim.runtime import capabilities, seccomp, seccomp_file

# AUDIT_ARCH_* of <linux/audit.h>, by what images call them.
AUDIT = {"amd64": 0xC000003E, "386": 0x40000003, "arm64": 0xC00000B7, "arm": 0x40000028}
NEWEST = 456  # futex_requeue of Linux 6.7
SPECIAL = {"socket", "socketpair", "socketcall", "personality", "clone", "clone3"}


def names_by_action(profile: dict[str, Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for rule in profile["syscalls"]:
        found.setdefault(rule["action"], set()).update(rule["names"])
    return found


def calls_of(architecture: str) -> Iterator[str]:
    """Yield the calls of an architecture up to NEWEST that this host's libseccomp knows."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("libseccomp is not installed")
    resolve = library.seccomp_syscall_resolve_num_arch
    resolve.restype = ctypes.c_char_p
    resolve.argtypes = [ctypes.c_uint32, ctypes.c_int]
    for number in range(NEWEST + 1):
        name = resolve(AUDIT[architecture], number)
        if name:
            yield name.decode()


@pytest.mark.parametrize(
    ("machine", "architecture"),
    [("x86_64", "amd64"), ("x86_64", "386"), ("aarch64", "arm64"), ("aarch64", "arm")],
)
def test_every_known_call_has_a_rule(machine: str, architecture: str) -> None:
    profile = seccomp.profile(capabilities.DEFAULT, machine, architecture)
    named = set().union(*names_by_action(profile).values()) | SPECIAL
    # Those that 64-bit programs never had are unknown to them.
    missing = {*calls_of(architecture)} - named
    assert missing == set()


@pytest.mark.parametrize(
    ("machine", "names"),
    [
        ("riscv64", {"riscv_flush_icache", "riscv_hwprobe"}),
        ("ppc64le", {"swapcontext"}),
        ("s390x", {"s390_runtime_instr"}),
    ],
)
def test_calls_that_only_one_machine_has_are_allowed_there(machine: str, names: set[str]) -> None:
    assert names <= names_by_action(seccomp.profile(frozenset(), machine))["SCMP_ACT_ALLOW"]
    assert not names & names_by_action(seccomp.profile(frozenset(), "x86_64"))["SCMP_ACT_ALLOW"]


def test_no_call_is_both_allowed_and_refused() -> None:
    for granted in (capabilities.DEFAULT, frozenset(capabilities.NAMES), frozenset[str]()):
        actions = names_by_action(seccomp.profile(granted, "x86_64"))
        assert actions["SCMP_ACT_ALLOW"] & actions["SCMP_ACT_ERRNO"] <= SPECIAL


@given(st.sets(st.sampled_from(capabilities.NAMES)))
def test_a_call_that_needs_a_capability_is_allowed_with_it_only(granted: set[str]) -> None:
    allowed = names_by_action(seccomp.profile(granted, "x86_64"))["SCMP_ACT_ALLOW"]
    for name in {name for names in seccomp.GRANTED.values() for name in names.split()}:
        opening = {each for each, names in seccomp.GRANTED.items() if name in names.split()}
        assert (name in allowed) == bool(opening & granted)


def matches(test: dict[str, Any], value: int) -> bool:
    """Tell whether a test of a rule is met: config-linux.md, "Seccomp"."""
    compared: dict[str, bool] = {
        "SCMP_CMP_EQ": value == test["value"],
        "SCMP_CMP_NE": value != test["value"],
        "SCMP_CMP_GT": value > test["value"],
        "SCMP_CMP_MASKED_EQ": value & test["value"] == test["valueTwo"],
    }
    return compared[test["op"]]


def answers(profile: dict[str, Any], name: str, *arguments: int) -> list[tuple[str, int]]:
    """Return the action and the number of the error of each rule that a call meets."""
    return [
        (rule["action"].removeprefix("SCMP_ACT_"), rule.get("errnoRet", 0))
        for rule in profile["syscalls"]
        if name in rule["names"]
        and all(matches(test, arguments[test["index"]]) for test in rule.get("args", []))
    ]


@given(
    st.sampled_from(["socket", "socketpair"]),
    st.integers(0, 64) | st.integers(0, 2**64 - 1),
    st.booleans(),
)
def test_every_family_of_sockets_meets_one_rule(name: str, family: int, packets: bool) -> None:
    profile = seccomp.profile(["CAP_NET_RAW"] if packets else [], "x86_64")
    allowed = {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK}
    if packets:
        allowed.add(socket.AF_PACKET)
    expected = ("ALLOW", 0) if family in allowed else ("ERRNO", errno.EAFNOSUPPORT)
    assert answers(profile, name, family, socket.SOCK_STREAM, 0) == [expected]


def test_no_socket_rule_contradicts_another_where_socketcall_exists() -> None:
    # libseccomp makes one rule for socketcall(2) of all that are about the family, and refuses a second one.
    for machine, architecture in (("x86_64", "386"), ("s390x", ""), ("ppc64le", "")):
        profile = seccomp.profile([], machine, architecture)
        assert answers(profile, "socket", 38, 0, 0) == []
    for machine, architecture in (("aarch64", "arm"), ("armv7l", ""), ("riscv64", "")):
        profile = seccomp.profile([], machine, architecture)
        assert answers(profile, "socket", 38, 0, 0) == [("ERRNO", errno.EAFNOSUPPORT)]


def test_the_audit_protocol_looks_as_if_it_did_not_exist() -> None:
    audit = (socket.AF_NETLINK, socket.SOCK_RAW, 9)
    assert answers(seccomp.profile([], "x86_64"), "socket", *audit) == [("ERRNO", errno.EINVAL)]
    assert answers(seccomp.profile(["CAP_AUDIT_WRITE"], "x86_64"), "socket", *audit) == [("ALLOW", 0)]


def test_only_an_image_of_32_bit_programs_has_their_calls() -> None:
    assert "architectures" not in seccomp.profile((), "x86_64", "amd64")
    assert seccomp.profile((), "x86_64", "386")["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    assert "chown32" in names_by_action(seccomp.profile((), "aarch64", "arm"))["SCMP_ACT_ALLOW"]
    assert "chown32" in names_by_action(seccomp.profile((), "armv7l"))["SCMP_ACT_ALLOW"]


def test_the_default_profile_passes_the_check_of_profile_files(tmp_path: Path) -> None:
    path = str(tmp_path / "own.json")
    profile = seccomp.profile(capabilities.DEFAULT, "x86_64", "386")
    Path(path).write_text(json.dumps(profile))
    assert seccomp.load(path) == profile


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "it is not an object"),
        ("{}", "it has no valid 'defaultAction'"),
        ('{"defaultAction": "ALLOW"}', "it has no valid 'defaultAction'"),
        ('{"defaultAction": "SCMP_ACT_NOTIFY"}', "it has no valid 'defaultAction'"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "archMap": []}', "of Docker's form"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x"}', "'listenerPath', which is not known"),
        (
            '{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 5000}',
            "a 'defaultErrnoRet' that is no number",
        ),
        (
            '{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": true}',
            "a 'defaultErrnoRet' that is no number",
        ),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {}}', "'syscalls' that is no list"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [1]}', r"syscalls\[0\] is not an object"),
        (
            '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_ALLOW"}]}',
            r"syscalls\[0\] names no call",
        ),
        (
            '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["x"], "action": "SCMP_ACT_ALLOW",'
            ' "includes": {}}]}',
            r"syscalls\[0\] has 'includes', which is of Docker's form",
        ),
        (
            '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["x"], "action": "SCMP_ACT_ALLOW",'
            ' "args": [{"index": 6, "op": "SCMP_CMP_EQ"}]}]}',
            r"syscalls\[0\].args\[0\] has a 'index' that is no number from 0 to 5",
        ),
    ],
)
def test_a_wrong_profile_is_refused_and_the_fault_is_named(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "profile.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason) as caught:
        seccomp_file.read(str(path))
    assert str(path) in str(caught.value)


def rule(action: str, *names: str, errno: int | None = None, **argument: object) -> dict[str, Any]:
    more = {} if errno is None else {"errnoRet": errno}
    args = {"args": [{"index": 0, "op": "SCMP_CMP_EQ", **argument}]} if argument else {}
    return {"names": list(names), "action": f"SCMP_ACT_{action}", **more, **args}


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (
            [rule("ERRNO", "x", "y"), rule("ALLOW", "z", "y")],
            "'y' with SCMP_ACT_ERRNO 1 in syscalls[0] and with SCMP_ACT_ALLOW in",
        ),
        ([rule("ERRNO", "x", errno=38), rule("ERRNO", "x")], "'x' with SCMP_ACT_ERRNO 38 in syscalls[0]"),
        ([rule("ALLOW", "x", value=1), rule("ERRNO", "x")], "'x' with SCMP_ACT_ALLOW"),
        ([rule("ERRNO", "x"), rule("ALLOW", "x", value=1)], "'x' with SCMP_ACT_ERRNO 1"),
        ([rule("ERRNO", "x", value=1), rule("ALLOW", "x", value=1)], "'x' with SCMP_ACT_ERRNO 1"),
    ],
)
def test_a_profile_that_contradicts_itself_is_refused(
    tmp_path: Path, rules: list[dict[str, Any]], said: str
) -> None:
    path = tmp_path / "profile.json"
    path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}))
    with pytest.raises(ConfigError) as caught:
        seccomp_file.read(str(path))
    assert f"it answers {said}" in str(caught.value)
    assert str(caught.value).endswith("; remove it from one of them")


def test_a_profile_may_repeat_a_rule_and_distinguish_arguments(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    rules = [rule("ALLOW", "x"), rule("ALLOW", "x"), rule("ALLOW", "y", value=1), rule("ERRNO", "y", value=2)]
    path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}))
    assert seccomp_file.read(str(path))["syscalls"] == rules


def test_a_missing_profile_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="cannot be read: No such file or directory; name a file, or write unconf"
    ):
        seccomp.load(str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="cannot be read"):
        seccomp.load(os.fspath(tmp_path))

"""`doctor` on this host, and on hosts that lack something, made in a namespace of the test."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from accounts import Account, free_range
from installed import Shim, fresh_shim
from leftovers import cgroups
from tweed_shim.doctor import checks, findings, ids

NAMES = [
    *(
        "kernel",
        "namespaces",
        "ids",
        "/proc",
        "overlay",
        "cgroups",
        "--userns",
        "seccomp",
        "runc",
        "umoci",
        "pasta",
    ),
    *("store", "disk", "memory", "clock", "run", "interactions"),
]
HIDE = "mount --bind /dev/null {}"


class Examined:
    """What doctor told, and its exit code."""

    def __init__(self, code: int, out: bytes) -> None:
        self.code = code
        self.findings: dict[str, dict[str, Any]] = {each["name"]: each for each in json.loads(out)}

    def state(self, name: str) -> str:
        state: str = self.findings[name]["state"]
        return state


def examine(shim: Shim, before: str, *, namespaces: str = "-m") -> Examined:
    """Run doctor as the shim's account after root has run the script `before` in namespaces of its own."""
    account = shim.account
    become = ["setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]
    command = [*become, shim.program, "--root", shim.root, "doctor", "--json"]
    # A shell that is started when the ids are mapped has root's capabilities in a user namespace too.
    script = 'echo ready; read -r _; sh -c "$0" || exit 99; exec "$@"'
    with subprocess.Popen(
        ["unshare", namespaces, "sh", "-c", script, before, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=os.path.dirname(shim.root),
        env=shim.environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        if "-U" in namespaces:
            for name in ("uid_map", "gid_map"):
                with open(f"/proc/{process.pid}/{name}", "w", encoding="ascii") as file:
                    file.write("0 0 4294967295")
        out, _ = process.communicate(b"\n", timeout=120)
    assert process.returncode in (0, 1), out
    return Examined(process.returncode, out)


@contextmanager
def nothing_left(shim: Shim) -> Iterator[None]:
    parent = os.path.dirname(shim.root)
    before = [sorted(os.listdir(place)) for place in (parent, "/var/tmp", "/tmp")]
    yield
    assert sorted(os.listdir(parent)) == before[0]
    new = {name for place in ("/var/tmp", "/tmp") for name in os.listdir(place)} - {*before[1], *before[2]}
    assert not [name for name in new if "doctor" in name]
    assert cgroups(shim.root) == []


def test_a_host_that_runs_images_is_well_for_every_kind_of_user(shim: Shim) -> None:
    with nothing_left(shim):
        result = shim.run("doctor", "--json")
        people = shim.run("doctor")
    examined = Examined(result.code, result.out)
    assert (examined.code, people.code, people.err) == (0, 0, b"")
    assert list(examined.findings) == NAMES
    for finding in examined.findings.values():
        assert set(finding) == {"name", "state", "found", "effect", "mend"}
        assert finding["found"]
        assert bool(finding["effect"]) == bool(finding["mend"]) == (finding["state"] != "ok")
    assert examined.state("run") == "ok"
    assert examined.state("ids") == ("warning" if shim.account.kind == "single" else "ok")
    if shim.account.kind != "root":
        assert examined.state("--userns") == "ok"
    lines = people.out.decode().splitlines()
    assert [line.split()[1] for line in lines if not line.startswith(" ")] == NAMES
    details = [line.split(":")[0].strip() for line in lines if line.startswith(" ")]
    assert details == ["then", "mend"] * sum(each["state"] != "ok" for each in examined.findings.values())


def test_a_store_is_examined_where_it_is_and_stays_as_it_was(shim: Shim, demo_image: str) -> None:
    assert shim.run("pull", f"oci:{demo_image}").code == 0
    before = sorted(os.walk(shim.root))
    examined = Examined(*shim.run("doctor", "--json")[:2])
    assert (examined.code, examined.state("store")) == (0, "ok")
    assert sorted(os.walk(shim.root)) == before
    os.chmod(shim.root, 0o755)
    examined = Examined(*shim.run("doctor", "--json")[:2])
    assert (examined.code, examined.state("store")) == (0, "warning")
    assert examined.findings["store"]["mend"] == f"chmod 700 {shim.root}"
    with open(os.path.join(shim.root, "version"), "w", encoding="ascii") as file:
        file.write("2\n")
    examined = Examined(*shim.run("doctor", "--json")[:2])
    assert (examined.code, examined.state("store")) == (1, "missing")


def test_a_program_that_says_nothing_of_its_version_is_there(tmp_path: Path) -> None:
    # Debian 13's pasta writes nothing into a pipe.
    silent = tmp_path / "pasta"
    silent.write_text("#!/bin/sh\n")
    silent.chmod(0o755)
    found = checks._program(str(silent), findings.WARNING, "--network pasta will not work")
    assert (found.state, found.found) == (findings.OK, f"{silent}, of unknown version")


@pytest.mark.parametrize(
    ("tool", "state", "mend"),
    [
        ("runc", "missing", "apt install runc"),
        ("umoci", "missing", "apt install umoci"),
        ("pasta", "warning", "apt install passt"),
    ],
)
def test_a_program_that_is_not_installed(shim: Shim, tool: str, state: str, mend: str) -> None:
    path = subprocess.run(["which", tool], capture_output=True, text=True, check=False).stdout.strip()
    with nothing_left(shim):
        examined = examine(shim, HIDE.format(os.path.realpath(path)) if path else "true")
    assert examined.code == (1 if state == "missing" else 0)
    assert (examined.state(tool), examined.findings[tool]["mend"]) == (state, mend)
    assert examined.state("run") == ("warning" if tool == "runc" else "ok")


@pytest.mark.parametrize(("version", "named"), [("1.1.5+ds1", True), ("1.3.6", False)])
def test_a_runtime_that_follows_links_of_an_image_is_named(
    accounts: dict[str, Account], program: str, public_directory: str, version: str, named: bool
) -> None:
    runtime = os.path.join(public_directory, f"runc-{version}")
    Path(runtime).write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo runc version {version} && echo libseccomp: 2\n',
        encoding="utf-8",
    )
    os.chmod(runtime, 0o755)
    with fresh_shim(accounts["root"], program, runtime=runtime) as shim:
        examined = Examined(*shim.run("doctor", "--json")[:2])
    os.unlink(runtime)
    finding = examined.findings[os.path.basename(runtime)]
    assert (finding["state"], finding["effect"]) == ("ok", "")
    assert ("CVE-2026-41579" in finding["found"]) is named


def test_a_range_of_ids_without_its_helper(accounts: dict[str, Account], program: str) -> None:
    with fresh_shim(accounts["range"], program) as shim, nothing_left(shim):
        examined = examine(shim, HIDE.format("/usr/bin/newuidmap"))
    assert (examined.code, examined.state("ids"), examined.state("run")) == (0, "warning", "ok")
    assert examined.findings["ids"]["mend"] == "apt install uidmap"


def test_a_helper_that_lost_its_rights(accounts: dict[str, Account], program: str) -> None:
    with fresh_shim(accounts["range"], program) as shim, nothing_left(shim):
        plain = (
            "mkdir bare && mount -t tmpfs tmpfs bare && cp /usr/bin/newuidmap bare/ && chmod 755 bare bare/*"
        )
        examined = examine(shim, f"{plain} && mount --bind bare/newuidmap /usr/bin/newuidmap")
        os.rmdir(os.path.join(os.path.dirname(shim.root), "bare"))
    assert (examined.code, examined.state("ids")) == (1, "missing")
    assert examined.findings["ids"]["mend"] == "apt install --reinstall uidmap"


@pytest.mark.parametrize("kind", ["range", "single"])
def test_user_namespaces_that_are_used_up(accounts: dict[str, Account], program: str, kind: str) -> None:
    with fresh_shim(accounts[kind], program) as shim, nothing_left(shim):
        examined = examine(shim, "echo 0 > /proc/sys/user/max_user_namespaces", namespaces="-U")
    assert (examined.code, examined.state("namespaces")) == (1, "missing")
    assert examined.findings["namespaces"]["mend"] == "sysctl -w user.max_user_namespaces=15000"
    for name in ("/proc", "overlay", "run"):
        assert (examined.state(name), examined.findings[name]["found"]) == (
            "warning",
            "cannot be tried without namespaces",
        )


@pytest.mark.parametrize("kind", ["range", "single"])
def test_a_proc_that_is_masked_as_in_a_container(
    accounts: dict[str, Account], program: str, kind: str
) -> None:
    with fresh_shim(accounts[kind], program) as shim, nothing_left(shim):
        examined = examine(shim, "mount -t tmpfs -o ro tmpfs /proc/sys/kernel/random")
    assert (examined.code, examined.state("/proc"), examined.state("run")) == (1, "missing", "missing")
    assert "systempaths=unconfined" in examined.findings["/proc"]["mend"]


def examine_on_disk(shim: Shim, script: str = "true") -> Examined:
    """Examine for a store on a small disk, after the script has been run in the disk's directory."""
    place = os.path.join(os.path.dirname(shim.root), "disk")
    os.mkdir(place)
    mount = f'mount -t tmpfs -o size=20m,uid={shim.account.uid} tmpfs "{place}"'
    try:
        with nothing_left(shim):
            return examine(
                shim._replace(root=os.path.join(place, "store")), f'{mount} && (cd "{place}" && {script})'
            )
    finally:
        os.rmdir(place)


GRANT = "echo containers:{0}:65536 > ids && mount --bind ids /etc/subuid && mount --bind ids /etc/subgid && rm ids"


@pytest.mark.parametrize(
    ("granted", "free"),
    [
        ("", "100000-165535"),
        ("a:100000:65536\n", "165536-231071"),
        ("b:165536:65536\n# c\na:100000:65536\nd:1:2:3\n", "231072-296607"),
        ("b:300000:65536\na:100000:65536\n", "165536-231071"),
        ("b:200000:65536\na:100000:65536\n", "265536-331071"),
        ("a:100000:4294850000\n", "FIRST-LAST"),
        ("a:0:4000000\nb:100000:65536\n", "4000000-4065535"),
    ],
)
def test_ids_that_are_anothers_are_not_offered(tmp_path: Path, granted: str, free: str) -> None:
    (tmp_path / "subuid").write_text(granted)
    assert ids._free_ids(str(tmp_path / "missing"), str(tmp_path / "subuid")) == free


@pytest.mark.parametrize(
    ("before", "state", "mend"),
    [
        (GRANT, "ok", ""),
        (f"{HIDE.format('/etc/subuid')} && {HIDE.format('/etc/subgid')}", "warning", "/etc/subuid"),
        (f"{GRANT} && mount -t ramfs ramfs .", "warning", "Linux 5.19"),
    ],
    ids=["as it should be", "no ids", "a file system that shows no other ids"],
)
def test_what_a_user_namespace_needs_as_root(
    accounts: dict[str, Account], program: str, before: str, state: str, mend: str
) -> None:
    with fresh_shim(accounts["root"], program) as shim:
        examined = examine_on_disk(shim, before.format(free_range().start))
    assert examined.state("--userns") == state, examined.findings
    assert mend in examined.findings["--userns"]["mend"]
    advised = "TWEED_SHIM_USERNS=1 makes it the default" in examined.findings["--userns"]["found"]
    assert advised == (state == "ok")


def test_a_host_whose_default_is_a_user_namespace_is_told_so(
    accounts: dict[str, Account], program: str, userns_ids: None
) -> None:
    with fresh_shim(accounts["root"], program) as shim:
        for value, state, words in (
            ("1", "ok", "$TWEED_SHIM_USERNS makes it the default"),
            ("yes", "missing", "neither 1 nor 0"),
        ):
            examined = Examined(*shim.run("doctor", "--json", env={"TWEED_SHIM_USERNS": value})[:2])
            assert examined.state("--userns") == state
            assert words in examined.findings["--userns"]["found"]


def test_programs_that_path_does_not_name_are_found(shim: Shim) -> None:
    done = shim.run("doctor", "--json", env={"PATH": "/nonexistent"})
    assert done.err == b"", done.err
    assert Examined(done.code, done.out).state("namespaces") == "ok"


def test_a_store_on_a_disk_that_cannot_be_written(shim: Shim) -> None:
    examined = examine_on_disk(shim, "mount -o remount,ro .")
    assert (examined.code, examined.state("store")) == (1, "missing")
    assert "--root" in examined.findings["store"]["mend"]


def test_a_store_on_a_disk_that_is_full(shim: Shim) -> None:
    examined = examine_on_disk(shim, "{ head -c 30000000 /dev/zero > filling 2> /dev/null; true; }")
    assert (examined.code, examined.state("disk")) == (1, "missing")
    assert "gc" in examined.findings["disk"]["mend"]


def test_a_store_on_a_small_disk(shim: Shim) -> None:
    examined = examine_on_disk(shim)
    assert (examined.code, examined.state("disk"), examined.state("run")) == (0, "warning", "ok")


def test_a_runtime_that_is_not_there(shim: Shim) -> None:
    result = shim.run("--runtime", "/no/such/runtime", "doctor", "--json")
    examined = Examined(result.code, result.out)
    assert (examined.code, examined.state("runtime")) == (1, "missing")
    assert "--runtime" in examined.findings["runtime"]["mend"]


@pytest.mark.parametrize(("mode", "state"), [(600, "warning"), (666, "ok")])
def test_a_tun_device_that_is_not_for_everybody_is_named(
    accounts: dict[str, Account], program: str, mode: int, state: str
) -> None:
    device = f"mknod tun c 10 200 && chmod {mode} tun && mount --bind tun /dev/net/tun && rm tun"
    with fresh_shim(accounts["range"], program) as shim:
        examined = examine(shim, device)
    assert examined.state("pasta") == state
    assert examined.findings["pasta"]["mend"] == ("chmod 0666 /dev/net/tun" if state == "warning" else "")

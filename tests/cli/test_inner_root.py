"""Root of somebody else's namespace, or without the host root's capabilities: what runs there, and what is said."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from accounts import Account, free_range
from installed import Shim, fresh_shim
from leftovers import work_directory
from outer_namespaces import DOCKER_CAPABILITIES, container, entering
from script_images import METADATA, ScriptImage

SCRIPT = f"""
if [ "$1" = metadata ]; then {METADATA}; exit; fi
cat > "$OUT_CONFIG/file"
cat /proc/self/uid_map
stat -c %u:%g / "$OUT_CONFIG" "$HOME"
touch /made && echo "root writable"
echo > /dev/null && test -c /dev/urandom && test -d /dev/pts && echo "devices"
"""


@pytest.fixture
def image(script_image: ScriptImage) -> str:
    return script_image(SCRIPT)


def works(shim: Shim, image: str, *arguments: str) -> str:
    """Run an operation; returns what it printed."""
    done = shim.run("exec", *arguments, image, "configure", "--cloud", "c", stdin=b"{}")
    assert done.code == 0, done
    said = (done.out + done.err).decode()
    assert "root writable" in said
    assert "devices" in said
    assert shim.run("exec", *arguments, image, "metadata").code == 0
    return said


@pytest.mark.parametrize("kind", ["root", "range", "single"])
def test_root_of_a_namespace_with_one_id_runs_images(
    accounts: dict[str, Account], program: str, image: str, demo_image: str, kind: str
) -> None:
    with fresh_shim(accounts[kind], program) as shim:
        inner = shim._replace(wrapper=("unshare", "-r"))
        works(inner, image)
        assert inner.run("exec", f"oci:{demo_image}", "metadata").code == 0
        examined = inner.run("doctor", "--json")
    states = {each["name"]: each["state"] for each in json.loads(examined.out)}
    assert (examined.code, states["ids"], states["run"]) == (0, "warning", "ok")


def test_root_of_a_namespace_with_a_range_of_ids_runs_images_with_all_of_them(
    accounts: dict[str, Account], program: str, image: str
) -> None:
    with fresh_shim(accounts["range"], program) as shim:
        said = works(shim._replace(wrapper=("unshare", "-r", "--map-auto")), image)
        assert "65535" in said
    ids = free_range()
    with fresh_shim(accounts["root"], program) as shim:
        said = works(shim._replace(wrapper=entering(f"0 0 1\n1 {ids.start} 65535\n")), image)
        assert "65535" in said


def test_a_namespace_that_has_every_id_is_not_taken_for_the_hosts(
    accounts: dict[str, Account], program: str, image: str
) -> None:
    with fresh_shim(accounts["root"], program) as shim:
        said = works(shim._replace(wrapper=entering("0 0 4294967295")), image)
        assert "4294967294" in said


@pytest.fixture
def bundle() -> Iterator[str]:
    """A directory for the bundle of an outer container."""
    with work_directory() as path:
        yield path


def test_root_of_a_container_with_dockers_capabilities_runs_images(
    accounts: dict[str, Account], program: str, image: str, bundle: str
) -> None:
    with fresh_shim(accounts["root"], program) as shim, container(bundle, "/var/tmp") as wrapper:
        said = works(shim._replace(wrapper=wrapper), image)
        assert "4294967294" in said
        assert works(shim._replace(wrapper=wrapper), image, "--network", "none")
        examined = shim._replace(wrapper=wrapper).run("doctor", "--json")
    states = {each["name"]: each["state"] for each in json.loads(examined.out)}
    assert (examined.code, states["namespaces"], states["ids"], states["run"]) == (0, "ok", "ok", "ok")


def test_root_of_a_container_may_have_read_only_control_groups_and_no_keys(
    accounts: dict[str, Account], program: str, image: str, bundle: str
) -> None:
    keys = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["add_key", "keyctl", "request_key"], "action": "SCMP_ACT_ERRNO"}],
    }
    more = f"{DOCKER_CAPABILITIES} NET_ADMIN SYS_ADMIN"
    with (
        fresh_shim(accounts["root"], program) as shim,
        container(bundle, "/var/tmp", capabilities=more, seccomp=keys) as wrapper,
    ):
        inner = shim._replace(wrapper=wrapper)
        works(inner, image)
        refused = inner.run("exec", "--memory", "64m", image, "configure", "--cloud", "d", stdin=b"{}")
        assert (refused.code, refused.out) == (125, b"")
        assert b"/sys/fs/cgroup is read-only" in refused.err, refused.err


# Uses up the caller's quota of keys (keyrings(7)) in a session keyring of its own, and becomes its arguments.
NO_KEYS = """
import ctypes, os, sys
add_key, keyctl = {"x86_64": (248, 250), "aarch64": (217, 219)}[os.uname().machine]
libc = ctypes.CDLL(None, use_errno=True)
SESSION, JOIN = -3, 1
assert libc.syscall(keyctl, JOIN, None) >= 0
for number in range(100000):
    if libc.syscall(add_key, b"user", b"key%d" % number, b"x", ctypes.c_size_t(1), SESSION) < 0:
        break
assert ctypes.get_errno() == 122, "EDQUOT"
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("kind", ["range", "single"])
def test_a_user_whose_quota_of_keys_is_used_up_runs_images(
    accounts: dict[str, Account], program: str, image: str, kind: str
) -> None:
    python = os.path.realpath(sys.executable)
    with fresh_shim(accounts[kind], program) as shim:
        works(shim._replace(wrapper=(python, "-I", "-S", "-c", NO_KEYS)), image)


def test_root_without_the_capability_to_map_itself_is_told_so(
    accounts: dict[str, Account], program: str, image: str, bundle: str
) -> None:
    few = DOCKER_CAPABILITIES.replace("SETFCAP", "")
    with (
        fresh_shim(accounts["root"], program) as shim,
        container(bundle, "/var/tmp", capabilities=few) as wrapper,
    ):
        inner = shim._replace(wrapper=wrapper)
        refused, examined = inner.run("exec", image, "metadata"), inner.run("doctor", "--json")
    assert (refused.code, examined.code) == (125, 1)
    [found] = [each for each in json.loads(examined.out) if each["name"] == "namespaces"]
    assert (found["state"], "CAP_SETFCAP" in found["mend"]) == ("missing", True)
    assert b"root needs CAP_SETFCAP to map the id 0" in refused.err, refused.err


@pytest.mark.parametrize("kind", ["root", "range"])
def test_root_without_any_capability_is_told_so(
    accounts: dict[str, Account], program: str, image: str, kind: str
) -> None:
    # What bwrap --uid 0 makes of a user.
    with fresh_shim(accounts[kind], program) as shim:
        bare = shim._replace(
            wrapper=("unshare", "-r", "setpriv", "--bounding-set=-all", "--inh-caps=-all", "--")
        )
        refused = bare.run("exec", image, "metadata")
    assert refused.code == 125
    assert b"root needs CAP_SETFCAP to map the id 0" in refused.err, refused.err


def test_the_store_of_root_in_a_users_namespace_is_the_users(
    accounts: dict[str, Account], program: str
) -> None:
    with fresh_shim(accounts["range"], program) as shim:
        done = subprocess.run(
            ["unshare", "-r", program, "doctor", "--json"],
            # The home is in /var/tmp here, where the maker of its directory cannot be told in this namespace.
            env=shim.environment() | {"TWEED_SHIM_SAFE_DIRECTORY": os.path.dirname(shim.account.home)},
            user=shim.account.uid,
            group=shim.account.gid,
            extra_groups=[],
            capture_output=True,
            check=True,
        )
    [store] = [each for each in json.loads(done.stdout) if each["name"] == "store"]
    assert store["found"].startswith(f"{shim.account.home}/.local/share/tweed-shim")

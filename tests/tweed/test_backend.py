"""The state of clouds and interactions after each operation, through the installed program."""

import glob
import json
import os
import socket
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from accounts import AS_ONE_USER
from installed import Result, Shim, refusal
from script_images import METADATA, ScriptImage

# Does what its configuration says: {"fail": OPERATION} fails there, {"env": TEXT} is setup's environment.
OBEDIENT = f"""
case $1 in
    metadata) {METADATA}; exit ;;
    configure) cat > "$OUT_CONFIG/config"; config=$OUT_CONFIG/config ;;
    check) config=$IN_CONFIG/config; cat "$config" ;;
    setup)
        config=$IN_CONFIG/config
        cp "$config" "$OUT_CONFIG/config"
        sed -n 's/.*"env": "\\([^"]*\\)".*/\\1/p' "$config" ;;
    teardown) config=$IN_CONFIG/config; echo "tearing down" ;;
esac
if grep -q "\\"fail\\": \\"$1\\"" "$config"; then echo "failing as told" >&2; exit 3; fi
"""


@pytest.fixture
def image(script_image: ScriptImage) -> str:
    return script_image(OBEDIENT)


def configure(shim: Shim, image: str, *options: str, **configuration: str) -> Result:
    return shim.run("exec", image, "configure", *options, stdin=json.dumps(configuration).encode())


def clouds(shim: Shim) -> dict[str, list[str]]:
    listed = json.loads(shim.run("clouds", "--json").out)
    return {cloud["name"]: cloud["interactions"] for cloud in listed}


def test_an_exit_code_of_the_image_is_that_of_the_shim(shim: Shim, image: str) -> None:
    done = configure(shim, image, fail="configure")
    assert done.code == 3
    assert b"failing as told\n" in done.out
    assert b"ended with exit code 3" in done.err


def test_a_failed_configure_leaves_the_previous_configuration_in_force(shim: Shim, image: str) -> None:
    assert configure(shim, image, which="first").code == 0
    assert configure(shim, image, which="second", fail="configure").code == 3
    assert json.loads(shim.run("exec", image, "check").out) == {"which": "first"}
    assert configure(shim, image, which="third").code == 0
    assert json.loads(shim.run("exec", image, "check").out) == {"which": "third"}


def test_only_the_generation_in_force_is_kept(shim: Shim, image: str) -> None:
    for number in range(3):
        assert configure(shim, image, which=str(number)).code == 0
    kept = os.listdir(os.path.join(shim.root, "clouds", "default", "config"))
    assert sorted(kept) == ["3", "current", "lock"] or sorted(kept) == ["2", "current", "lock"]


@pytest.mark.parametrize("operation", ["check", "setup"])
def test_a_cloud_that_is_not_configured_is_refused(shim: Shim, image: str, operation: str) -> None:
    message = refusal(quietly(shim, image, operation, "--cloud", "prod"))
    assert "cloud 'prod' is not configured" in message
    assert not os.path.exists(os.path.join(shim.root, "clouds"))


def quietly(shim: Shim, image: str, *arguments: str) -> Result:
    """Run an operation after the image has been pulled, so that only the operation can speak."""
    assert shim.run("pull", image).code == 0
    return shim.run("exec", image, *arguments)


def test_a_second_setup_is_refused_unless_it_replaces_the_first(shim: Shim, image: str) -> None:
    configure(shim, image, env="A: one")
    assert yaml.safe_load(shim.run("exec", image, "setup").out) == {"A": "one"}
    assert "already set up" in refusal(shim.run("exec", image, "setup"))
    configure(shim, image, env="A: two")
    done = shim.run("exec", image, "setup", "--replace")
    assert yaml.safe_load(done.out) == {"A": "two"}
    assert b"stays in the backend" in done.err
    assert clouds(shim) == {"default": ["default"]}


def test_a_failed_setup_records_nothing_and_calls_no_teardown(shim: Shim, image: str) -> None:
    configure(shim, image, fail="setup", env="A: b")
    done = shim.run("exec", image, "setup")
    assert (done.code, done.out) == (3, b"")
    assert clouds(shim) == {"default": []}
    assert [run["operation"] for run in json.loads(shim.run("logs", "--json").out)][:1] == ["setup"]


@AS_ONE_USER
@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("A: [1, 2]", "A"),
        ("A: {b: c}", "A"),
        ("- a", "map"),
        ("1A: b", "1A"),
        ("A-B: c", "A-B"),
        ("'A=B': c", "A=B"),
        ("A: 1\nA: 2", "twice"),
        ("just text", "map"),
        ("A: 'unclosed", "line"),
    ],
)
def test_an_environment_of_the_wrong_shape_is_a_broken_contract(
    shim: Shim, image: str, written: str, named: str
) -> None:
    configure(shim, image, env=written)
    message = refusal(shim.run("exec", image, "setup"))
    assert named in message
    assert clouds(shim) == {"default": []}


def test_a_failed_teardown_keeps_everything_for_a_retry(shim: Shim, image: str) -> None:
    configure(shim, image, fail="teardown", env="A: b")
    shim.run("exec", image, "setup")
    done = shim.run("exec", image, "teardown")
    assert done.code == 3
    assert b"kept" in done.err
    assert clouds(shim) == {"default": ["default"]}
    assert shim.run("exec", image, "teardown").code == 3, "the setup's output is still there to be read"


def test_a_teardown_that_succeeds_forgets_the_interaction(shim: Shim, image: str) -> None:
    configure(shim, image, env="A: b")
    shim.run("exec", image, "setup", "--interaction", "x-1")
    assert clouds(shim) == {"default": ["x-1"]}
    assert shim.run("exec", image, "teardown", "--interaction", "x-1").code == 0
    assert clouds(shim) == {"default": []}
    assert os.listdir(os.path.join(shim.root, "clouds", "default", "interactions")) == []
    assert "is not set up" in refusal(shim.run("exec", image, "teardown", "--interaction", "x-1"))


def test_a_cloud_is_removed_when_nothing_is_set_up_in_it(shim: Shim, image: str) -> None:
    configure(shim, image, env="A: b")
    shim.run("exec", image, "setup")
    assert "still has interactions set up (default)" in refusal(shim.run("clouds", "rm", "default"))
    shim.run("exec", image, "teardown")
    assert shim.run("clouds", "rm", "default").code == 0
    assert clouds(shim) == {}
    assert "there is no cloud 'default'" in refusal(shim.run("clouds", "rm", "default"))


def test_changes_of_one_cloud_wait_for_each_other(shim: Shim, script_image: ScriptImage) -> None:
    # Only one process of the host's network can listen on a port: two at a time would fail.
    alone = f"timeout 0.3 nc -l -p {free_port()}; [ $? = 143 ] || exit 9"
    image = script_image(
        f'case $1 in metadata) {METADATA};; configure) {alone}; cat > "$OUT_CONFIG/c";; esac'
    )
    assert shim.run("exec", image, "metadata").code == 0
    running = [configure_in_background(shim, image, str(number)) for number in range(3)]
    for process in running:
        process.communicate()
    assert [process.returncode for process in running] == [0] * 3


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def configure_in_background(shim: Shim, image: str, number: str) -> subprocess.Popen[bytes]:
    path = f"{os.path.dirname(shim.root)}/{number}.json"
    with open(path, "w", encoding="ascii") as file:
        json.dump({"number": number}, file)
    os.chmod(path, 0o644)
    return shim.start("exec", image, "configure", "--config", path)


def test_interactions_are_set_up_at_the_same_time(shim: Shim, image: str) -> None:
    interactions = [f"i-{number}" for number in range(6)]
    configure(shim, image, env="A: b")
    running = [shim.start("exec", image, "setup", "--interaction", name) for name in interactions]
    outputs = [yaml.safe_load(process.communicate()[0]) for process in running]
    assert outputs == [{"A": "b"}] * len(interactions)
    assert clouds(shim) == {"default": interactions}
    running = [shim.start("exec", image, "teardown", "--interaction", name) for name in interactions]
    for process in running:
        process.communicate()
    assert [process.returncode for process in running] == [0] * len(interactions)
    assert clouds(shim) == {"default": []}


def test_a_teardown_in_an_unknown_cloud_creates_nothing(shim: Shim, image: str) -> None:
    assert "is not set up" in refusal(quietly(shim, image, "teardown", "--cloud", "nosuch"))
    assert not os.path.exists(os.path.join(shim.root, "clouds"))


def test_a_damaged_metadata_cache_is_replaced(shim: Shim, image: str) -> None:
    assert shim.run("exec", image, "metadata").code == 0
    [cache] = glob.glob(os.path.join(shim.root, "rootfs", "*", "metadata.json"))
    os.truncate(cache, 0)
    assert shim.run("exec", image, "metadata").code == 0
    assert os.path.getsize(cache) > 0


@pytest.fixture
def strict_store(shim: Shim) -> Iterator[Shim]:
    """A store on a file system that is mounted as administrators like it."""
    os.mkdir(shim.root)
    options = f"nosuid,nodev,noexec,noatime,mode=0700,uid={shim.account.uid},gid={shim.account.gid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", shim.root], check=True)
    yield shim
    subprocess.run(["umount", shim.root], check=True)


def test_a_store_on_a_mount_with_all_restrictions(strict_store: Shim, image: str) -> None:
    assert configure(strict_store, image, env="A: b").code == 0
    for operation in ("check", "setup", "teardown"):
        assert strict_store.run("exec", image, operation).code == 0


def test_a_store_whose_path_has_special_characters(shim: Shim, image: str) -> None:
    odd = shim._replace(root=f"{shim.root}:a,b\\c d\"e%f\ng'é")
    assert configure(odd, image, env="A: b").code == 0
    for operation in ("check", "setup", "teardown"):
        assert odd.run("exec", image, operation).code == 0

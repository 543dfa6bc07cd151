"""Many processes and one store: a cold image is brought once, and a busy store stays sound."""

import glob
import json
import os
import random
import shutil
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from accounts import Account
from examinations import unfinished_work
from installed import SYSTEM_PATH, Shim, fresh_shim
from layouts import File, build_layout
from pattern_images import PATTERN_METADATA
from script_images import METADATA, ScriptImage
from servers import FaultyProxy, RegistryServer, faulty_proxy

PROCESSES = 64
SCRIPT = f"#!/bin/sh\ncase $1 in metadata) {METADATA};; esac\n"


@pytest.fixture(scope="module")
def cold_image(registry: RegistryServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of an image in the registry."""
    layout = os.fspath(tmp_path_factory.mktemp("layout"))
    build_layout(layout, files={"entrypoint": SCRIPT, "noise": File(random.Random(0).randbytes(100_000))})
    registry.push(layout, "latest", "many:1")
    return "many:1"


@pytest.fixture
def proxy(registry: RegistryServer) -> Iterator[FaultyProxy]:
    with faulty_proxy(registry.host) as running:
        yield running


def counting_umoci(directory: str, account: Account) -> dict[str, str]:
    """A PATH on which umoci adds a line to `directory`/calls before it does its work."""
    os.mkdir(directory)
    os.chown(directory, account.uid, account.gid)
    path = os.path.join(directory, "umoci")
    with open(path, "w", encoding="ascii") as file:
        file.write(f'#!/bin/sh\necho >> {directory}/calls\nexec {shutil.which("umoci")} "$@"\n')
    os.chmod(path, stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    return {"PATH": f"{directory}:{SYSTEM_PATH}"}


def wait_for_all(processes: list[subprocess.Popen[bytes]], timeout: float) -> list[tuple[int, bytes, bytes]]:
    try:
        said = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [(process.returncode, *each) for process, each in zip(processes, said, strict=True)]


@pytest.mark.parametrize("kind", ["root", "range"])
def test_a_cold_image_that_64_processes_want_at_once_is_downloaded_and_unpacked_once(
    accounts: dict[str, Account],
    program: str,
    proxy: FaultyProxy,
    cold_image: str,
    kind: str,
    public_directory: str,
) -> None:
    directory = os.path.join(public_directory, f"umoci-{kind}")
    env = counting_umoci(directory, accounts[kind])
    with fresh_shim(accounts[kind], program) as shim:
        image = f"{proxy.host}/{cold_image}"
        done = wait_for_all([shim.start("exec", image, "metadata", env=env) for _ in range(PROCESSES)], 300)
        assert {code for code, _, _ in done} == {0}, next(each for each in done if each[0])
        assert len({out for _, out, _ in done}) == 1
        blobs = [request.path for request in proxy.requests("GET .*/blobs/")]
        assert len(blobs) == len(set(blobs)) == 2
        with open(os.path.join(directory, "calls"), encoding="ascii") as file:
            assert len(file.readlines()) == 1
        assert len(os.listdir(os.path.join(shim.root, "rootfs"))) == 1
        assert os.listdir(os.path.join(shim.root, "tmp")) == []
        # All but the first wait for what the image said to it.
        assert len(json.loads(shim.run("logs", "--json").out)) == 1


def test_a_process_that_dies_while_others_wait_for_its_metadata_does_not_stop_them(
    accounts: dict[str, Account], program: str, script_image: ScriptImage
) -> None:
    image = script_image("echo asked >&2; sleep 1000")
    with fresh_shim(accounts["range"], program) as shim:
        assert shim.run("pull", image).code == 0
        with shim.start("exec", image, "metadata") as first:
            assert first.stderr is not None
            assert first.stderr.readline() == b"asked\n"
            with shim.start("-v", "exec", image, "metadata", "--timeout", "0.5") as second:
                assert second.stderr is not None
                assert b"waiting for the metadata of" in second.stderr.readline()
                first.kill()
                second.communicate(timeout=60)
            first.communicate(timeout=60)
        assert second.returncode == 124


WORKERS = 6
COMMANDS = 12
# What a command may say, and no other may, when others work on the same things at the same time.
REFUSALS = (
    "is not configured",
    "is not set up",
    "there is no cloud",
    "still has interactions set up",
    "is not in the store",
    "is in use",
    "was removed or replaced meanwhile",
    "was configured by",
    "was set up by",
    "there is no instance",
    "was provisioned with access by",
    "exists already",
    "has no binding",
    "has a binding",
    "still has instances of patterns",
)
BUSY = f"""#!/bin/sh
fill() {{ for number in 1 2 3 4 5 6 7 8; do echo "$1" > "$OUT_CONFIG/$number"; done; }}
case $1 in
metadata) {METADATA} ;;
configure) fill "$(cat)" ;;
check) test $(cat "$IN_CONFIG"/* | uniq | wc -l) = 1 && test $(ls "$IN_CONFIG" | wc -l) = 8 ;;
setup) value=$(cat /proc/sys/kernel/random/uuid); fill "$value"; echo "VALUE: $value" ;;
teardown) test $(cat "$IN_CONFIG"/* | uniq | wc -l) = 1 && test $(ls "$IN_CONFIG" | wc -l) = 8 ;;
esac
"""


BUSY_PATTERN = f"""#!/bin/sh
check() {{ test $(cat "$CREDSTORE"/* | uniq | wc -l) = 1 && test $(ls "$CREDSTORE" | wc -l) = 8; }}
case $1 in
metadata) {PATTERN_METADATA} ;;
provision) for number in 1 2 3 4 5 6 7 8; do echo $VALUE > "$CREDSTORE/$number"; done; test -n "$VALUE" ;;
bind) check && echo "value: $(cat $CREDSTORE/1)" ;;
unbind) check && grep -q $(cat $CREDSTORE/1) $BINDING ;;
deprovision) check ;;
esac
"""


def some_commands(
    images: list[str], pattern: str, chance: random.Random
) -> list[tuple[tuple[str, ...], bytes | None]]:
    """What one of several busy users does."""
    commands: list[tuple[tuple[str, ...], bytes | None]] = []
    for number in range(COMMANDS):
        image, cloud = chance.choice(images), ("--cloud", chance.choice("ab"))
        interaction = ("--interaction", chance.choice("xy"))
        instance, binding = ("--instance", chance.choice("mn")), ("--binding", chance.choice("pq"))
        choices: list[tuple[tuple[str, ...], bytes | None]] = [
            (("exec", image, "configure", "--replace", *cloud), b'{"n": %d}' % number),
            (("exec", image, "check", *cloud), None),
            (("exec", image, "setup", "--replace", *cloud, *interaction), None),
            (("exec", image, "teardown", *cloud, *interaction), None),
            (("clouds", "rm", cloud[1]), None),
            (("clouds", "--json"), None),
            (("rm", image), None),
            (("images", "--json"), None),
            (("logs", "--json"), None),
            (("gc",), None),
            (("exec", pattern, "provision", *cloud, *instance), None),
            (("exec", pattern, "bind", *instance, *binding), None),
            (("exec", pattern, "unbind", *instance, *binding), None),
            (("exec", pattern, "deprovision", *instance), None),
            (("instances", "--json"), None),
        ]
        commands.append(chance.choices(choices, weights=(4, 3, 4, 4, 2, 1, 2, 1, 1, 1, 5, 5, 3, 2, 1))[0])
    return commands


@pytest.mark.parametrize("kind", ["root", "range"])
def test_a_store_that_many_work_on_at_once_stays_sound(
    accounts: dict[str, Account], program: str, kind: str
) -> None:
    seed = random.randrange(10**6)
    with fresh_shim(accounts[kind], program) as shim, ThreadPoolExecutor(WORKERS) as pool:
        images = []
        for name, script in (("one", BUSY), ("two", BUSY), ("pattern", BUSY_PATTERN)):
            layout = os.path.join(os.path.dirname(shim.root), name)
            build_layout(layout, files={"entrypoint": script, "etc/name": name}, compression="none")
            images.append(f"oci:{layout}")
        pattern = images.pop()

        def work(number: int) -> list[str]:
            commands = some_commands(images, pattern, random.Random(seed + number))
            return [fault for command in commands if (fault := complaint(shim, *command))]

        complaints = [each for found in pool.map(work, range(WORKERS)) for each in found]
        assert not complaints, f"seed {seed}"
        assert shim.run("gc").code == 0
        examine_quiet(shim.root)
        for instance in json.loads(shim.run("instances", "--json").out):
            assert instance["state"] == "ready"
            # Its cloud may belong to the other backend by now.
            options = ("--instance", instance["name"], "--replace")
            assert shim.run("exec", pattern, "deprovision", *options).code == 0
        assert not glob.glob(os.path.join(shim.root, "instances", "*"))
        for state in json.loads(shim.run("clouds", "--json").out):
            assert not [setup for setup in state["setups"] if setup["instance"]]
            for interaction in state["interactions"]:
                place = ("--cloud", state["name"], "--interaction", interaction)
                codes = [shim.run("exec", image, "teardown", *place).code for image in images]
                assert sorted(codes) == [0, 125], "one of them has set it up"
            assert shim.run("clouds", "rm", state["name"]).code == 0
        examine_quiet(shim.root)


def complaint(shim: Shim, command: tuple[str, ...], stdin: bytes | None) -> str | None:
    """What is wrong with how a command ends: neither done nor refused for a reason that others gave."""
    done = shim.run(*command, stdin=stdin)
    said = done.err.decode()
    refused = done.code == 125 and any(words in said.splitlines()[-1] for words in REFUSALS)
    if "Traceback" not in said and (done.code == 0 or refused):
        return None
    return f"{command}: {done}"


def examine_quiet(root: str) -> None:
    """Nothing is under way in a store of which nobody makes use now."""
    assert list(unfinished_work(root)) == []
    for place in glob.glob(os.path.join(root, "clouds", "*", "**", "current"), recursive=True):
        generations = [name for name in os.listdir(os.path.dirname(place)) if name.isdigit()]
        assert generations == [os.readlink(place)]

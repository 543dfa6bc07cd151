"""A store on a disk that is full: one sentence each, a consistent store, and all is well again with more room."""

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from accounts import Account
from installed import Result, Shim, fresh_shim
from layouts import Layer, build_layout
from pattern_images import PATTERN_METADATA
from script_images import METADATA, ScriptImage
from small_disks import Disk, shim_on_a_disk
from tweed_shim import Shim as Api
from tweed_shim.errors import HostError

SCRIPT = f"""case $1 in
metadata) {METADATA} ;;
configure) cat > "$OUT_CONFIG/config" ;;
check) cat "$IN_CONFIG/config" ;;
setup) echo "A: b" ;;
esac"""


@pytest.fixture
def full(account: Account, program: str) -> Iterator[tuple[Shim, Disk]]:
    """A shim whose store is on a small disk of its own."""
    with shim_on_a_disk(account, program) as found:
        yield found


def refused(shim: Shim, *arguments: str, stdin: bytes | None = None) -> str:
    result = shim.run(*arguments, stdin=stdin)
    assert (result.code, result.out) == (125, b""), result
    [line] = result.err.decode().splitlines()
    assert line.startswith("tweed-shim: ")
    return line


def done(result: Result) -> bytes:
    assert result.code == 0, result
    return result.out


def interactions(shim: Shim) -> list[str]:
    return [
        name for cloud in json.loads(done(shim.run("clouds", "--json"))) for name in cloud["interactions"]
    ]


def drafts(shim: Shim) -> list[str]:
    return [
        os.path.join(path, name)
        for path, directories, files in os.walk(shim.root)
        for name in [*directories, *files]
        if name.startswith(("draft-", "work-", "old-")) or ".new-" in name
    ]


@pytest.mark.parametrize("megabytes", [14, 40], ids=["unpacking", "fetching"])
def test_a_pull_that_does_not_fit_leaves_nothing_and_works_with_more_room(
    full: tuple[Shim, Disk], public_directory: str, megabytes: int
) -> None:
    shim, disk = full
    layout = os.path.join(public_directory, f"large-{megabytes}-{shim.account.kind}")
    noise = Layer({"noise": os.urandom(megabytes << 20)}, "none")
    build_layout(layout, files={"entrypoint": f"#!/bin/sh\n{SCRIPT}\n"}, layers=[noise])
    assert "make room" in refused(shim, "pull", f"oci:{layout}", "-q")
    assert done(shim.run("images", "--json")) == b"[]\n"
    assert os.listdir(os.path.join(shim.root, "rootfs")) == []
    assert drafts(shim) == []
    # What had come stays for another try, unless one wants the room.
    assert {each["kind"] for each in json.loads(done(shim.run("gc", "--json")))} <= {"blob"}
    disk.resize("256m")
    done(shim.run("pull", f"oci:{layout}"))
    assert done(shim.run("exec", f"oci:{layout}", "metadata"))


def test_every_operation_on_a_full_disk_is_one_sentence_and_changes_nothing(
    full: tuple[Shim, Disk], script_image: ScriptImage
) -> None:
    shim, disk = full
    image = script_image(SCRIPT)
    done(shim.run("exec", image, "configure", stdin=b'{"generation": 1}'))
    done(shim.run("exec", image, "setup", "--interaction", "kept"))
    disk.fill()
    for operation, stdin in (("configure", b'{"generation": 2}'), ("setup", None), ("check", None)):
        assert "no space is left" in refused(shim, "exec", image, operation, stdin=stdin)
    assert "no space is left" in refused(shim, "exec", image, "teardown", "--interaction", "kept")
    # To look, and to make room, takes none.
    assert interactions(shim) == ["kept"]
    done(shim.run("images"))
    done(shim.run("logs"))
    done(shim.run("gc"))
    disk.relieve()
    assert done(shim.run("exec", image, "check")) == b'{"generation": 1}\n'
    done(shim.run("exec", image, "configure", stdin=b'{"generation": 3}'))
    assert done(shim.run("exec", image, "check")) == b'{"generation": 3}\n'
    done(shim.run("exec", image, "setup"))
    done(shim.run("exec", image, "teardown", "--interaction", "kept"))
    assert interactions(shim) == ["default"]
    done(shim.run("gc"))
    assert drafts(shim) == []


@pytest.mark.parametrize("size", [1, 600_000], ids=["small", "large"])
def test_a_setup_that_ends_with_success_on_a_disk_that_has_become_full_is_set_up(
    full: tuple[Shim, Disk], script_image: ScriptImage, size: int
) -> None:
    shim, disk = full
    image = script_image(
        f"""case $1 in metadata) {METADATA} ;;
        setup)
            echo kept > "$OUT_CONFIG/id"
            cat /dev/zero > "$OUT_CONFIG/flood" 2> /dev/null
            printf 'A: '; head -c {size} /dev/zero | tr '\\0' b; echo ;;
        teardown) cat "$IN_CONFIG/id" ;; esac"""
    )
    done(shim.run("exec", image, "configure", stdin=b"{}"))
    result = shim.run("exec", image, "setup")
    # What is too large for the room that is kept is not recorded: it is printed, and the interaction is there.
    assert (result.code, result.out) == (0, b'A: "' + size * b"b" + b'"\n'), result
    assert (b"its environment could not be recorded" in result.err) == (size > 1)
    assert interactions(shim) == ["default"]
    assert json.loads(done(shim.run("logs", "--json")))[0]["state"] == "ended"
    if size > 1:
        assert "is not on record" in refused(shim, "environment")
    else:
        assert done(shim.run("environment")) == result.out
    assert "already set up" in refused(shim, "exec", image, "setup")
    disk.resize("64m")
    assert done(shim.run("exec", image, "teardown")) == b"kept\n"
    assert interactions(shim) == []
    done(shim.run("gc"))
    assert drafts(shim) == []


def test_an_interaction_that_fills_the_disk_can_be_given_up_without_more_room(
    full: tuple[Shim, Disk], script_image: ScriptImage
) -> None:
    shim, disk = full
    image = script_image(
        f"""case $1 in metadata) {METADATA} ;;
        setup) cat /dev/zero > "$OUT_CONFIG/flood" 2> /dev/null; echo "A: b" ;; esac"""
    )
    done(shim.run("exec", image, "configure", stdin=b"{}"))
    done(shim.run("exec", image, "setup"))
    # What was kept for the commit is free again.
    disk.fill()
    assert "no space is left" in refused(shim, "exec", image, "teardown")
    done(shim.run("clouds", "forget", "default", "default"))
    done(shim.run("exec", image, "check"))
    assert interactions(shim) == []


def test_a_run_whose_log_fills_the_disk_is_ended_with_one_sentence(
    full: tuple[Shim, Disk], script_image: ScriptImage
) -> None:
    shim, _ = full
    image = script_image(f"case $1 in metadata) {METADATA} ;; setup) yes >&2 ;; esac")
    done(shim.run("exec", image, "configure", stdin=b"{}"))
    result = shim.run("exec", image, "setup")
    assert result.code == 125
    assert b"no space is left" in result.err.splitlines()[-1]
    assert interactions(shim) == []


def test_the_api_raises_an_error_of_its_own(
    accounts: dict[str, Account], program: str, script_image: ScriptImage
) -> None:
    image = script_image(SCRIPT)
    with fresh_shim(accounts["root"], program) as fresh:
        disk = Disk(os.path.join(os.path.dirname(fresh.root), "disk"), fresh.account)
        try:
            api = Api(os.path.join(disk.place, "store"))
            backend = api.backend(image)
            backend.configure({"a": 1})
            disk.fill()
            for call in (lambda: backend.configure({"a": 2}), backend.check, backend.setup):
                with pytest.raises(HostError, match="no space is left"):
                    call()
            disk.relieve()
            with backend.setup() as environment:
                assert dict(environment) == {"A": "b"}
        finally:
            subprocess.run(["umount", disk.place], check=True)


PATTERN_SCRIPT = f"""case $1 in
metadata) {PATTERN_METADATA} ;;
provision) cp $INPUTS $CREDSTORE/inputs ;;
bind) cat $CREDSTORE/inputs ;;
deprovision) cat $INPUTS ;;
esac"""


def instances(shim: Shim) -> dict[str, str]:
    return {each["name"]: each["state"] for each in json.loads(done(shim.run("instances", "--json")))}


def test_operations_on_instances_on_a_full_disk_are_one_sentence_and_change_nothing(
    full: tuple[Shim, Disk], script_image: ScriptImage
) -> None:
    shim, disk = full
    image, backend = script_image(PATTERN_SCRIPT), script_image(SCRIPT)
    done(shim.run("exec", backend, "configure", stdin=b"{}"))
    inputs = ("--inputs", "-")
    done(shim.run("exec", image, "provision", *inputs, stdin=b'{"a": "b"}'))
    done(shim.run("exec", image, "bind", "--binding", "web"))
    disk.fill()
    for operation in ("provision --instance new", "bind", "unbind --binding web", "deprovision"):
        assert "no space is left" in refused(shim, "exec", image, *operation.split())
    # To look takes no room.
    assert instances(shim) == {"default": "ready"}
    shown = json.loads(done(shim.run("instances", "show", "default", "--json")))
    assert [(each["name"], each["state"]) for each in shown["bindings"]] == [("web", "ready")]
    assert done(shim.run("instances", "credentials", "default", "web")) == b"a: b\n"
    done(shim.run("clouds"))
    disk.relieve()
    assert interactions(shim) == []
    done(shim.run("exec", image, "bind"))
    done(shim.run("exec", image, "unbind", "--binding", "web"))
    assert done(shim.run("exec", image, "deprovision")) == b'{"a": "b"}\n'
    assert instances(shim) == {}
    done(shim.run("gc"))
    assert drafts(shim) == []


@pytest.mark.parametrize("size", [1, 600_000], ids=["small", "large"])
def test_credentials_that_do_not_fit_on_the_disk_are_printed_and_the_binding_is_failed(
    full: tuple[Shim, Disk], script_image: ScriptImage, size: int
) -> None:
    """Small ones have room that is kept for them."""
    shim, disk = full
    image = script_image(
        f"""case $1 in metadata) {PATTERN_METADATA} ;;
        bind) printf 'a: '; head -c {size} /dev/zero | tr '\\0' b; echo ;;
        unbind) cat $BINDING | wc -c ;;
        esac"""
    )
    done(shim.run("exec", image, "provision", "--no-backend"))
    disk.fill(leave=512 << 10)
    result = shim.run("exec", image, "bind")
    if size > 1:
        assert (result.code, result.out) == (125, b"a: " + size * b"b" + b"\n"), result
        unbind = f"tweed-shim exec {image} unbind --instance default --binding default"
        assert result.err.decode().splitlines()[-1] == (
            f"tweed-shim: bind of {image} has succeeded, and that could not be recorded (No space left on device), so "
            f"it counts as failed; binding 'default' is failed; before another try unbind it with: {unbind}"
        )
    else:
        assert (result.code, result.out) == (0, b"a: b\n"), result
    disk.relieve()
    disk.resize("64m")
    [binding] = json.loads(done(shim.run("instances", "show", "default", "--json")))["bindings"]
    assert binding["state"] == ("failed" if size > 1 else "ready")
    done(shim.run("exec", image, "unbind"))
    done(shim.run("exec", image, "deprovision"))
    assert instances(shim) == {}


def test_deprovision_ends_an_instance_that_fills_the_disk(
    full: tuple[Shim, Disk], script_image: ScriptImage
) -> None:
    shim, disk = full
    image = script_image(
        f"""case $1 in metadata) {PATTERN_METADATA} ;;
        provision) cat /dev/zero > $OUTPUTS/flood 2> /dev/null; exit 3 ;; esac"""
    )
    assert shim.run("exec", image, "provision", "--no-backend").code == 3
    assert instances(shim) == {"default": "failed"}
    disk.fill()
    assert "no space is left" in refused(shim, "exec", image, "deprovision")
    done(shim.run("instances", "forget", "default"))
    assert instances(shim) == {}
    done(shim.run("gc"))
    assert drafts(shim) == []

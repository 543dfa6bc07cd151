"""The pattern contract, operation by operation, with a backend and a pattern that run as different users.

Each test is one story, which checks several sentences of the contract in their order.
"""

import json
import os
import stat
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from installed import Shim, done, processes, refusal
from pattern_images import PATTERN_METADATA, Service, backend_image, pattern_image
from script_images import ScriptImage

NOBODY = 65534


@pytest.fixture
def service(shim: Shim, script_image: ScriptImage) -> Service:
    """A pattern as one user, in a cloud whose backend runs as another user."""
    pattern = pattern_image(script_image, user="2000:2000", env=["MODE=image"])
    return Service(shim, pattern, backend_image(script_image, user="1000:1000"))


@pytest.fixture
def alone(shim: Shim, script_image: ScriptImage) -> Service:
    """A pattern that needs no backend."""
    return Service(shim, pattern_image(script_image, user="2000:2000"))


class Given:
    """What an operation is given: the variables of the contract, and what it may write to below /tweed."""

    def __init__(self, variables: Mapping[str, str], writable: set[str]) -> None:
        self.variables = variables
        self.writable = writable


CREDSTORE = {"CREDSTORE": "/tweed/credstore"}
INPUTS = {"INPUTS": "/tweed/input/inputs.json"}
GIVEN = {
    "provision": Given({**CREDSTORE, **INPUTS, "OUTPUTS": "/tweed/outputs"}, {"credstore", "outputs"}),
    "bind": Given(CREDSTORE, set()),
    "unbind": Given({**CREDSTORE, "BINDING": "/tweed/input/binding.json"}, set()),
    "deprovision": Given({**CREDSTORE, **INPUTS}, {"credstore"}),
}
# Prints what the operation is given, one fact a line.
LOOK = (
    "echo arguments=$# operation=$1; echo uid=$(id -u); echo stdin=$(cat); echo home=$(ls -A $HOME); echo new > "
    "$HOME/new && echo home is writable; echo key=$(cat $KUBECONFIG); env | sed 's/^/env /'; for each in credstore "
    "outputs input out in; do if test -d /tweed/$each; then echo mounted $each; fi; if touch /tweed/$each/probe "
    "2>/dev/null; then echo writable $each; rm /tweed/$each/probe; fi; done; touch /tweed/out/keys/new 2>/dev/null "
    "&& echo out is writable; echo to stderr >&2"
)


def test_each_operation_gets_what_the_contract_says(service: Service) -> None:
    service.configure(environment="{KUBECONFIG: /tweed/out/keys/kubeconfig, MODE: backend, PASSWORD: x y}")
    look = dict.fromkeys(("provision", "unbind", "deprovision"), LOOK)
    done(service.provision(**look, bind=f"( {LOOK} ) >&2; echo user: me"))
    for operation, given in GIVEN.items():
        result = done(
            service.run(operation)
            if operation != "provision"
            else service.provision("--instance", "again", **look)
        )
        printed = result.err if operation == "bind" else result.out
        assert (result.out == b"user: me\n") == (operation == "bind")
        lines = printed.decode().splitlines()
        assert f"arguments=1 operation={operation}" in lines
        assert f"uid={0 if service.shim.account.kind == 'single' else 2000}" in lines
        # What the operation before wrote to $HOME is not there.
        assert {"stdin=", "home=", "home is writable", "key=the-key"} <= {*lines}
        assert "out is writable" not in lines
        assert "to stderr" in lines
        assert ("to stderr" in result.err.decode()) == (operation == "bind")
        variables = dict(line[4:].split("=", 1) for line in lines if line.startswith("env "))
        backend = {"KUBECONFIG": "/tweed/out/keys/kubeconfig", "MODE": "backend", "PASSWORD": "x y"}
        base = {name: variables[name] for name in ("PATH", "PWD", "SHLVL")}
        assert variables == {**base, **backend, **given.variables, "HOME": "/tweed/home"}
        mounted = {line.split()[1] for line in lines if line.startswith("mounted ")}
        assert mounted == {path.split("/")[2] for path in given.variables.values()} | {"out"}
        assert {line.split()[1] for line in lines if line.startswith("writable ")} == given.writable


def test_without_a_backend_there_is_nothing_of_one(alone: Service) -> None:
    result = done(alone.provision(provision="ls /tweed"))
    assert result.out.split() == [b"credstore", b"home", b"input", b"outputs"]
    assert alone.operations() == ["metadata", "provision"]
    assert alone.shown()["cloud"] == ""
    done(alone.run("deprovision"))
    assert alone.states() == {}


DOCUMENT = """pattern: tweed/v1
name: p
version: 1.10
summary: $(sed -n 's/^ *\\([a-z0-9]*\\):.*/\\1/p' /proc/net/dev | tr '\\n' ' ')
description: $(echo $(ls /tweed) $(env | grep -c -e CREDSTORE -e INPUTS -e OUTPUTS -e BINDING))
copyright: none
authors: [me]
inputs: {type: object, properties: {size: {type: integer}, wait: {type: string}}}
files:
- {filename: a/manifest.yaml, summary: A manifest, description: All of it}
- {filename: missing, summary: Not there}
"""


def test_metadata_is_printed_by_an_image_without_network_and_mounts(
    shim: Shim, script_image: ScriptImage
) -> None:
    service = Service(shim, pattern_image(script_image, f"cat <<END\n{DOCUMENT}END"))
    metadata = yaml.safe_load(done(service.run("metadata")).out)
    assert metadata["summary"].split() == ["lo"]
    assert metadata["description"].split() == ["home", "0"]
    assert metadata["version"] == "1.10"
    assert metadata["files"][0] == {
        "filename": "a/manifest.yaml",
        "summary": "A manifest",
        "description": "All of it",
    }
    assert json.loads(done(service.run("metadata", "--format", "json")).out) == metadata
    assert service.operations() == ["metadata"], "the image is asked once"


def test_metadata_that_fails_makes_the_image_invalid_as_a_whole(
    shim: Shim, script_image: ScriptImage
) -> None:
    """Nothing else of the image is run, and its cloud is not set up."""
    service = Service(shim, pattern_image(script_image, "exit 4"), backend_image(script_image))
    service.configure("default")
    for operation in ("metadata", "provision"):
        assert service.run(operation).code == 4
    assert service.operations() == ["metadata", "configure", "metadata", "metadata"]
    assert (service.states(), service.setups()) == ({}, [])
    # Where no cloud is named it is `default`.
    valid = service._replace(pattern=pattern_image(script_image))
    done(valid.run("provision"))
    assert valid.shown()["cloud"] == "default"


def running(service: Service) -> subprocess.Popen[bytes]:
    """Start a provision that says `running` and does not end; return it once it has said so."""
    data = json.dumps({"provision": "echo secret > $CREDSTORE/root-password; echo running; sleep 1000"})
    process = service.shim.start(
        "-q", "exec", service.pattern, "provision", "--cloud", "prod", "--inputs", "-", stdin=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(data.encode())
    process.stdin.close()
    process.stdin = None
    assert process.stdout.readline() == b"running\n"
    return process


def test_nobody_else_on_the_host_reads_what_setup_and_the_pattern_wrote(service: Service) -> None:
    service.configure()
    with running(service) as process:
        find = ["find", service.shim.root, "-type", "f", "-exec", "cat", "{}", ";"]
        looked = subprocess.run(
            find, capture_output=True, user=NOBODY, group=NOBODY, extra_groups=[], check=False
        )
        assert looked.stdout == b""
        pids = [pid for pid in processes(service.shim.root, service.shim.account) if pid != process.pid]
        paths = [
            f"/proc/{pid}/{view}"
            for pid in pids
            for view in ("root/tweed/out", "root/tweed/credstore", "environ")
        ]
        assert len(paths) > 3
        looked = subprocess.run(
            ["cat", *paths], capture_output=True, user=NOBODY, group=NOBODY, extra_groups=[], check=False
        )
        assert (looked.stdout, looked.returncode) == (b"", 1)
        process.terminate()
        process.communicate(timeout=60)
    with open(service.path("default", "credstore", "root-password"), encoding="ascii") as file:
        assert file.read() == "secret\n"


def test_the_credstore_lasts_from_provision_to_deprovision(alone: Service) -> None:
    nested = "mkdir -p $CREDSTORE/a/b; echo one > $CREDSTORE/a/b/c; chmod 700 $CREDSTORE/a; chmod 400 $CREDSTORE/a/b/c"
    read = "cat $CREDSTORE/a/b/c; (echo x > $CREDSTORE/a/b/d) 2>/dev/null || echo refused"
    # What a failed operation wrote stays, and the next one sees it.
    again = "cat $CREDSTORE/a/b/*; test -e $CREDSTORE/tried || { echo two > $CREDSTORE/tried; exit 4; }"
    done(alone.provision(provision=nested, bind=f"({read}) >&2; echo a: b", unbind=read, deprovision=again))
    assert done(alone.run("bind")).err.decode().splitlines()[-2:] == ["one", "refused"]
    assert done(alone.run("unbind")).out == b"one\nrefused\n"
    assert alone.run("deprovision").code == 4
    with open(alone.path("default", "credstore", "tried"), encoding="ascii") as file:
        assert file.read() == "two\n"
    assert done(alone.run("deprovision")).out == b"one\n"
    assert os.listdir(alone.path()) == []


def test_what_a_pattern_wrote_before_it_failed_or_was_killed_is_kept(service: Service) -> None:
    service.configure()
    failed = service.provision(provision="echo kept > $CREDSTORE/kept; echo out > $OUTPUTS/out; exit 3")
    assert failed.code == 3
    assert failed.err.decode().splitlines()[-1].endswith("shows what it said")
    assert service.states() == {"default": "failed"}
    with open(service.path("default", "credstore", "kept"), encoding="ascii") as file:
        assert file.read() == "kept\n"
    assert done(service.shim.run("instances", "files", "default", "out")).out == b"out\n"
    assert service.listed("logs")[-0]["operation"] == "teardown", "a failure is followed by teardown"
    done(service.run("deprovision"))
    with running(service) as process:
        process.kill()
        process.wait()
    with open(service.path("default", "credstore", "root-password"), encoding="ascii") as file:
        assert file.read() == "secret\n"
    assert service.states() == {"default": "failed"}
    done(service.run("deprovision"))


def test_a_credstore_is_bounded_and_what_was_written_is_kept(alone: Service) -> None:
    fill = "dd if=/dev/zero of=$CREDSTORE/large bs=1M count=32 2>/dev/null; sleep 10"
    result = alone.provision(
        provision=f"echo password > $CREDSTORE/first; {fill}", deprovision="ls $CREDSTORE"
    )
    assert (result.code, alone.states()) == (125, {"default": "failed"})
    assert (
        f"{alone.pattern} provision was ended because it wrote more than 16 MiB, or 262144 files, to /tweed/credstore, "
        "which is the most there; have the image keep less there"
    ) in result.err.decode()
    with open(alone.path("default", "credstore", "first"), encoding="ascii") as file:
        assert file.read() == "password\n"
    # Above its bound, the way out has to work.
    assert b"first" in done(alone.run("deprovision")).out
    # $OUTPUTS has the bound of --keep-limit.
    fill = fill.replace("CREDSTORE", "OUTPUTS")
    assert alone.provision("--keep-limit", "1m", provision=fill).code == 137
    assert [(each["name"], each["size"] > (1 << 20)) for each in alone.shown()["files"]] == [("large", True)]


def test_the_inputs_are_the_plan_with_the_parameters_and_come_back_at_deprovision(
    shim: Shim, script_image: ScriptImage
) -> None:
    schema = (
        "inputs: {type: object, properties: {size: {type: integer}, deep: {type: object}}, required: [size]}"
    )
    metadata = f'{PATTERN_METADATA}; echo "{schema}"'
    service = Service(shim, pattern_image(script_image, metadata, user="2000:2000"))
    plan = os.path.join(os.path.dirname(shim.root), "plan.yaml")
    with open(plan, "w", encoding="utf-8") as file:
        file.write("{size: 1, deep: {a: {x: 1, y: 2}, list: [1, 2]}, left: no}")
    show = "cat $INPUTS; stat -c %F $INPUTS"
    parameters: dict[str, Any] = {"size": 5, "deep": {"a": {"y": 3}, "list": [3]}}
    first = done(service.provision("--plan", plan, **parameters, provision=show, deprovision=show))
    *given, kind = first.out.decode().splitlines()
    expected = {"size": 5, "deep": {"a": {"x": 1, "y": 3}, "list": [3]}, "left": "no"}
    commands = {"provision": show, "deprovision": show}
    assert (json.loads("".join(given)), kind) == ({**expected, **commands}, "regular file")
    assert done(service.run("deprovision")).out == first.out
    # Validated before anything runs; every fault with its path, and the document that set it.
    operations = service.operations()
    wrong = service.provision("--plan", plan, size="large", deep=[])
    assert refusal(wrong) == (
        "tweed-shim: the inputs do not fit what the image asks for: size must be a whole number (set by the "
        "inputs); deep must be a map (set by the inputs); correct them and provision again"
    )
    assert (service.operations(), service.states()) == (operations, {})


def test_outputs_are_listed_with_their_summaries(shim: Shim, script_image: ScriptImage) -> None:
    service = Service(shim, pattern_image(script_image, f"cat <<END\n{DOCUMENT}END", user="2000:2000"))
    write = (
        "mkdir -p $OUTPUTS/a/b; echo kind: Pod > $OUTPUTS/a/manifest.yaml; printf x > $OUTPUTS/a/b/other; chmod 0 "
        "$OUTPUTS/a/b/other; chmod 0 $OUTPUTS/a/b; ln -s /etc/passwd $OUTPUTS/link; ln -s .. $OUTPUTS/up; mkfifo "
        "$OUTPUTS/pipe"
    )
    done(service.provision(provision=write))
    if shim.account.kind == "root":
        os.mknod(service.path("default", "outputs", "device"), stat.S_IFCHR, os.makedev(1, 3))
    devices = [("device", "a device")] if shim.account.kind == "root" else []
    expected = [
        {
            "name": "a/manifest.yaml",
            "size": 10,
            "note": "",
            "summary": "A manifest",
            "description": "All of it",
        },
        {"name": "missing", "size": None, "note": "missing", "summary": "Not there", "description": ""},
        {"name": "a/b/other", "size": 1, "note": "", "summary": "", "description": ""},
        *(
            {"name": name, "size": None, "note": note, "summary": "", "description": ""}
            for name, note in (
                *devices,
                ("link", "a symbolic link"),
                ("pipe", "a named pipe"),
                ("up", "a symbolic link"),
            )
        ),
    ]
    assert json.loads(done(shim.run("instances", "files", "default", "--json")).out) == expected
    assert service.shown()["files"] == expected
    assert done(shim.run("instances", "files", "default", "a/manifest.yaml")).out == b"kind: Pod\n"
    assert done(shim.run("instances", "files", "default", "a/b/other")).out == b"x"
    for name, note in (("link", "a symbolic link"), ("pipe", "a named pipe"), ("missing", "missing")):
        assert refusal(shim.run("instances", "files", "default", name)) == (
            f"tweed-shim: the file '{name}' of instance 'default' cannot be read: it is {note}; have the image leave a "
            "plain file"
        )
    for name in ("../record.json", "/etc/passwd", "up/record.json", "a"):
        assert refusal(shim.run("instances", "files", "default", name)) == (
            f"tweed-shim: instance 'default' has no file '{name}'; 'tweed-shim instances files default' lists those "
            f"it has"
        )
    # What the image left is for people: its operations go on after they have been read.
    done(service.run("deprovision"))


# What bind prints, and what it is read as: core types of YAML 1.2, and text where YAML 1.1 reads it differently.
PRINTED = """text: plain
quoted: '5'
number: 5432
fraction: 1.5
truth: true
nothing: null
old_truth: yes
octal: 0123
sixties: 1:30
nested:
  hosts: [a, b]
  tls: {ca: "one\\ntwo"}
"""
READ = {
    "text": "plain",
    "quoted": "5",
    "number": 5432,
    "fraction": 1.5,
    "truth": True,
    "nothing": None,
    "old_truth": "yes",
    "octal": "0123",
    "sixties": "1:30",
    "nested": {"hosts": ["a", "b"], "tls": {"ca": "one\ntwo"}},
}


def test_bind_prints_one_map_which_is_stored_and_comes_back_in_a_file(
    shim: Shim, script_image: ScriptImage
) -> None:
    files = {"printed": PRINTED}
    service = Service(shim, pattern_image(script_image, files=files, user="2000:2000"))
    done(
        service.provision(
            bind="cat /printed; echo diagnostics >&2", unbind="cat $BINDING; stat -c %F $BINDING"
        )
    )
    result = done(service.run("bind", "--binding", "web", "--format", "json"))
    assert (json.loads(result.out), result.err.decode().splitlines()[-1]) == (READ, "diagnostics")
    done(service.run("bind", "--binding", "api"))
    assert service.bindings() == {"api": "ready", "web": "ready"}
    again = done(shim.run("instances", "credentials", "default", "web"))
    assert yaml.safe_load(again.out) == READ
    *given, kind = done(service.run("unbind", "--binding", "web")).out.decode().splitlines()
    assert (json.loads("".join(given)), kind) == (READ, "regular file")
    assert service.bindings() == {"api": "ready"}


def test_an_exit_code_decides_what_follows(service: Service) -> None:
    """The table "What an exit code means", and the operations that may follow."""
    service.configure()
    once = "test -e $CREDSTORE/once || { touch $CREDSTORE/once; exit 4; }"
    # provision fails: only deprovision may follow, and a failed deprovision leaves the instance as it was.
    assert service.provision(provision="exit 3", deprovision=once).code == 3
    before = service.shown()
    for operation in ("bind", "unbind"):
        assert refusal(service.run(operation)) == (
            f"tweed-shim: {operation} is not possible: the last provision of instance 'default' has failed or was "
            f"interrupted; only deprovision may follow: tweed-shim exec {service.pattern} deprovision --instance "
            f"default"
        )
    assert service.run("deprovision").code == 4
    assert service.shown() == before
    done(service.run("deprovision"))
    assert service.states() == {}
    # bind fails: the binding is failed and has no credentials; unbind may follow, and gets an empty map.
    once_more = "echo kept > $CREDSTORE/../credstore/once"
    done(
        service.provision(
            bind="echo a: b; exit 5", unbind="cat $BINDING", deprovision="exit 6", provision=once_more
        )
    )
    assert service.states() == {"default": "ready"}
    failed = service.run("bind", "--binding", "web")
    assert (failed.code, failed.out, service.bindings()) == (5, b"", {"web": "failed"})
    unbind = f"tweed-shim exec {service.pattern} unbind --instance default --binding web"
    assert refusal(service.run("bind", "--binding", "web")) == (
        "tweed-shim: instance 'default' has a binding 'web' already, whose bind has failed or was interrupted; "
        f"unbind it first: {unbind}"
    )
    assert refusal(service.shim.run("instances", "credentials", "default", "web")) == (
        "tweed-shim: binding 'web' of instance 'default' has no credentials: its bind has failed or was interrupted; "
        f"unbind it and bind again: {unbind}"
    )
    assert done(service.run("unbind", "--binding", "web")).out == b"{}\n"
    assert (service.bindings(), service.states()) == ({}, {"default": "ready"})
    # deprovision fails: the instance stays ready.
    assert service.run("deprovision").code == 6
    assert service.states() == {"default": "ready"}
    assert service.setups() == []


def test_a_binding_stays_valid_where_unbind_fails_and_goes_with_its_instance(service: Service) -> None:
    service.configure()
    done(service.provision(unbind="exit 7"))
    bound = done(service.run("bind")).out
    assert service.run("unbind").code == 7
    assert (service.bindings(), service.states()) == ({"default": "ready"}, {"default": "ready"})
    assert done(service.shim.run("instances", "credentials", "default")).out == bound
    # deprovision may be called while bindings exist, and everything is forgotten.
    done(service.run("deprovision"))
    assert (service.states(), os.listdir(service.path()), service.setups()) == ({}, [], [])
    for words in (("show", "default"), ("credentials", "default"), ("files", "default")):
        assert refusal(service.shim.run("instances", *words)) == (
            "tweed-shim: there is no instance 'default'; 'tweed-shim instances' lists those there are"
        )

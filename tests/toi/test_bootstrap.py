"""`toi bootstrap` with real executor images, from every kind of repository, as every kind of user."""

import base64
import json
import os
import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from accounts import open_to_all
from components import Elsewhere, component, make_archive, put
from installed import Shim, fresh_shim
from servers import RegistryServer
from toi_packages import (
    executor,
    executor_layout,
    library,
    make_component_archive,
    package,
    with_executor,
    with_global_access,
    with_identity,
)
from tweed_shim.ocm.session import Session

SECRET = "hunter2-and-more"
APP = "example.com/installer:1.0.0"

# The executor copies its inputs to its outputs, where a test can read them.
SCRIPT = r"""
echo "called with $*"
cd /toi/outputs || exit 1
ls -ln /toi/inputs | awk 'NR > 1 {print $1, $3, $9}' > modes
stat -c '%a %u' /toi/inputs /toi/outputs >> modes
id -u > user
echo "$HOME" > home
for name in config parameters ocmconfig ocmrepo; do cat /toi/inputs/$name > $name; done
touch /toi/inputs/new 2> /dev/null && echo writable > inputs
head -c 64 /dev/urandom > random
ln -s /etc/passwd link
mkfifo pipe
mkdir directory
chmod 0 modes
[ "$2" = uninstall ] && exit 7
[ "$2" = wait ] && { trap 'echo stopping > stopped; kill $!; exit 9' TERM; sleep 60 & echo waiting; wait $!; }
exit 0
"""

EXECUTORS = component(
    "example.com/executors",
    "2.0.0",
    [
        executor(
            {
                "imageRef": {"resource": {"name": "image"}},
                "actions": ["install", "uninstall", "wait"],
                "configTemplate": {"level": "info", "origin": "(( merge origin ))", "targets": "(( merge ))"},
                "configScheme": {"type": "object", "required": ["targets"]},
                "templateLibraries": [{"resource": {"name": "lib"}}],
                "credentials": {
                    "kubeconfig": {
                        "description": "where to",
                        "properties": {"KUBECONFIG": "a file"},
                        "consumerId": {"type": "Kubernetes", "purpose": "target"},
                    },
                    "spare": {"description": "not needed", "optional": True},
                },
                "outputs": {
                    name: {"description": f"the {name}"}
                    for name in ("parameters", "config", "random", "never", "modes", "stopped")
                },
            }
        ),
        library("lib", "origin: the executor's library\n"),
    ],
)

PACKAGE = {
    "description": "Installs things.",
    "executors": [
        {
            "actions": ["install", "uninstall"],
            "resourceRef": {"resource": {"name": "executor"}, "resourcePath": [{"name": "executors"}]},
            "config": {"targets": ["a", "b"]},
            "parameterMapping": {
                "user": "(( merge parameters.username ))",
                "domain": "(( merge ))",
                "kubeconfig": '(( getCredentials("kubeconfig", "KUBECONFIG") ))',
                "spare": '(( hasCredentials("spare") ))',
            },
            "credentialMapping": {"target": "kubeconfig"},
            "outputs": {"parameters": "given", "config": "config", "random": "noise", "never": "nothing"},
        },
        {
            "resourceRef": {"resource": {"name": "image"}, "resourcePath": [{"name": "executors"}]},
            "outputs": {"parameters": "given", "stopped": "stopped"},
        },
    ],
    "credentials": {
        "target": {
            "description": "where to",
            "properties": {"KUBECONFIG": "a file"},
            "consumerId": {"type": "Kubernetes", "purpose": "target"},
        }
    },
    "configTemplate": {
        "parameters": {"username": "admin", "password": "(( merge ))"},
        "domain": "(( merge default_domain ))",
    },
    "configScheme": {
        "type": "object",
        "required": ["parameters"],
        "properties": {"parameters": {"type": "object", "required": ["password"]}},
    },
    "templateLibraries": [{"resource": {"name": "defaults"}}],
    "additionalResources": {
        "configFile": {"content": {"parameters": {"password": "change me"}}},
        "credentialsFile": {"resource": {"name": "credentials"}},
    },
}

INSTALLER = with_identity(
    component(
        "example.com/installer",
        "1.0.0",
        [
            package("executors: []", name="other"),
            package(PACKAGE, name="package"),
            library("defaults", "default_domain: example.org\n"),
            library("credentials", "credentials: {target: {credentials: {KUBECONFIG: change me}}}\n"),
        ],
        ["example.com/executors:2.0.0"],
    ),
    "package",
    {"platform": "aws"},
)
PARAMETERS = "parameters: {password: sesame}\n"
CREDENTIALS = f"credentials: {{target: {{credentials: {{KUBECONFIG: {SECRET}}}}}}}\n"


class Sources(NamedTuple):
    """Component versions in repositories of every kind, and the files of a user."""

    directory: str
    components: dict[str, list[str]]
    parameters: str
    credentials: str

    def inputs(self) -> list[str]:
        return ["-p", self.parameters, "-c", self.credentials]


@pytest.fixture(scope="module")
def layout(public_directory: str) -> str:
    return executor_layout(os.path.join(public_directory, "toi-executor"), SCRIPT, user="65534")


@pytest.fixture(scope="module")
def sources(public_directory: str, layout: str, registry: RegistryServer) -> Sources:
    """Make the component versions in repositories of every kind."""
    directory = os.path.join(public_directory, "toi")
    os.mkdir(directory)

    def write(name: str, text: str) -> str:
        path = os.path.join(directory, name)
        Path(path).write_text(text, encoding="utf-8")
        return path

    executors = with_executor(EXECUTORS, layout)
    tree = make_archive(os.path.join(directory, "tree"), executors, INSTALLER)
    packed = make_archive(os.path.join(directory, "packed.tgz"), executors, INSTALLER, file_format="tgz")
    lone = make_component_archive(os.path.join(directory, "lone"), INSTALLER)
    repository = put(f"{registry.host}/toi", executors, INSTALLER)
    sources = Sources(
        directory,
        {
            "directory": [f"{tree}//{APP}"],
            "tgz": [f"{packed}//{APP}"],
            "component archive": [f"{lone}//{APP}", "--lookup", tree],
            "registry": [f"{repository}//{APP}"],
        },
        write("params.yaml", PARAMETERS),
        write("creds.yaml", CREDENTIALS),
    )
    open_to_all(directory)
    return sources


@pytest.fixture
def root_shim(accounts: dict[str, "object"], program: str) -> Iterator[Shim]:
    """The installed program, run by root, for tests that are the same for every user."""
    with fresh_shim(accounts["root"], program) as fresh:  # type: ignore[arg-type]  # the fixture is Account's
        yield fresh


def bootstrap(shim: Shim, *words: str) -> tuple[int, str, str]:
    done = shim.run("toi", "bootstrap", "--ocmconfig", "None", *words)
    assert SECRET.encode() not in done.err
    return done.code, done.out.decode(), done.err.decode()


def test_bootstrap_runs_from_every_repository_as_every_user(shim: Shim, sources: Sources) -> None:
    user = "0" if shim.account.kind == "single" else "65534"
    for kind, source in sources.components.items():
        directory = os.path.join(os.path.dirname(shim.root), f"outputs-{kind}")
        os.mkdir(directory)
        os.chown(directory, shim.account.uid, shim.account.gid)
        code, out, err = bootstrap(
            shim, "install", *source, "platform=aws", *sources.inputs(), "--all-outputs", "-o", directory
        )
        assert (code, out) == (0, f"called with --standard install {APP}\n"), (kind, err)
        assert "did not write never, which is mapped to an output" in err
        outputs = {name: Path(directory, name).read_bytes() for name in os.listdir(directory)}
        assert sorted(outputs) == sorted(
            ["given", "config", "noise", "modes", "user", "home", "ocmconfig", "ocmrepo"]
        ), kind
        assert yaml.safe_load(outputs["given"]) == {
            "user": "admin",
            "domain": "example.org",
            "kubeconfig": SECRET,
            "spare": False,
        }
        assert yaml.safe_load(outputs["config"]) == {
            "level": "info",
            "origin": "the executor's library",
            "targets": ["a", "b"],
        }
        modes = outputs["modes"].decode().splitlines()
        assert modes == [
            *(f"-rw------- {user} {name}" for name in ("config", "ocmconfig", "ocmrepo", "parameters")),
            f"700 {user}",
            f"700 {user}",
        ]
        assert outputs["user"].decode().strip() == user
        memory, consumers, _ = yaml.safe_load(outputs["ocmconfig"])["configurations"]
        assert memory["credentials"] == [
            {"credentialsName": "kubeconfig", "credentials": {"KUBECONFIG": SECRET}}
        ]
        assert [each["identity"]["type"] for each in consumers["consumers"]] == ["Kubernetes"]
        with tarfile.open(os.path.join(directory, "ocmrepo"), "r:gz") as archive:
            index = json.load(archive.extractfile("artifact-index.json"))  # type: ignore[arg-type]  # it is a file
        assert sorted(each["repository"] for each in index["artifacts"]) == [
            "component-descriptors/example.com/executors",
            "component-descriptors/example.com/installer",
        ]
    # A run leaves nothing but its log and record.
    assert os.listdir(os.path.join(shim.root, "tmp")) == []
    for path, _, names in os.walk(shim.root):
        for name in names:
            whole = os.path.join(path, name)
            if os.path.isfile(whole) and not os.path.islink(whole) and "/rootfs/" not in whole:
                assert SECRET.encode() not in Path(whole).read_bytes(), whole
    records = json.loads(shim.run("logs", "--json").out)
    assert [(each["operation"], each["component"], each["exit_code"]) for each in records] == [
        ("install", APP, 0)
    ] * len(sources.components)


def test_the_outputs_of_a_failed_action_are_collected(root_shim: Shim, sources: Sources) -> None:
    file = os.path.join(os.path.dirname(root_shim.root), "outputs.yaml")
    words = ["uninstall", *sources.components["tgz"], "package", *sources.inputs()]
    assert bootstrap(root_shim, *words, "--pull", "never")[0] == 125
    code, _, err = bootstrap(root_shim, *words, "-o", file)
    assert code == 7
    assert "uninstall ended with exit code 7" in err
    outputs = yaml.safe_load(Path(file).read_text())["outputs"]
    assert outputs["config"]["targets"] == ["a", "b"]
    assert len(base64.b64decode(outputs["noise"]["binary"])) == 64
    assert sorted(outputs) == ["config", "given", "noise"]
    # Without -o, they are all that is on stdout.
    code, out, err = bootstrap(root_shim, *words)
    assert (code, yaml.safe_load(out)["outputs"]["given"]["user"]) == (7, "admin")
    assert "called with --standard uninstall" in err


def test_the_outputs_of_an_action_ended_by_signal_or_timeout_are_collected(
    root_shim: Shim, sources: Sources
) -> None:
    words = [
        "toi",
        "bootstrap",
        "--ocmconfig",
        "None",
        "wait",
        *sources.components["tgz"],
        "package",
        *sources.inputs(),
    ]
    process = root_shim.start(*words)
    assert process.stderr is not None
    while b"waiting" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert yaml.safe_load(out)["outputs"]["stopped"] == "stopping"
    code, printed, err = bootstrap(root_shim, "--timeout", "1", *words[4:])
    assert code == 124
    assert "took longer than 1 second and" in err
    assert "given" in yaml.safe_load(printed)["outputs"]


def test_dry_run_shows_the_run_and_create_env_writes_its_inputs(root_shim: Shim, sources: Sources) -> None:
    words = ["install", *sources.components["directory"], "package", *sources.inputs()]
    code, out, _ = bootstrap(root_shim, *words, "--dry-run", "--memory", "64m")
    assert code == 0
    assert SECRET not in out
    shown = yaml.safe_load(out)
    assert shown["parameters"]["parameters"] == {"username": "admin", "password": "sesame"}
    assert shown["credentials"] == {"target": "kubeconfig"}
    process = shown["config.json"]["process"]
    assert process["args"] == ["/toi/run", "--standard", "install", APP]
    assert process["user"]["uid"] == 65534
    mounts = {each["destination"]: each["options"] for each in shown["config.json"]["mounts"]}
    assert "ro" in mounts["/toi/inputs"]
    assert "rw" in mounts["/toi/outputs"]
    assert json.loads(root_shim.run("logs", "--json").out) == []

    directory = os.path.join(os.path.dirname(root_shim.root), "env")
    assert bootstrap(root_shim, *words, "--create-env", directory)[0] == 0
    tree = {
        os.path.relpath(os.path.join(at, name), directory)
        for at, _, names in os.walk(directory)
        for name in names
    }
    assert tree == {
        "properties",
        *(f"inputs/{each}" for each in ("config", "ocmconfig", "ocmrepo", "parameters")),
    }
    assert os.path.isdir(os.path.join(directory, "outputs"))
    assert {os.stat(os.path.join(directory, each)).st_mode & 0o777 for each in tree} == {0o600}
    properties = yaml.safe_load(Path(directory, "properties").read_text())
    assert (properties["action"], properties["componentVersion"]) == ("install", APP)
    code, _, err = bootstrap(root_shim, *words, "--create-env", directory)
    assert (code, "is there already and not an empty directory" in err) == (125, True)


EXAMPLE = """

executors:
  - actions:
    - install
    resourceRef:
      resource:
        name: installerimage
    config:
      level: info
#   parameterMapping:  # optional spiff mapping of Package configuration to 
#      ....            # executor parameters
    outputs:
       test: bla
credentials:
  target:
    description: kubeconfig for target kubernetes cluster
    consumerId:
      type: Kubernetes
      purpose: target
configTemplate:
  parameters:
    username: admin
    password: (( &merge ))
configScheme:
  type: object
  required:
    - parameters
  additionalProperties: false
  properties:
    parameters:
      type: object
      required:
      - password
      additionalProperties: false
      properties:
        username:
          type: string
        password:
          type: string

"""  # noqa: W291 - the specification's example as it is


@pytest.fixture(scope="module")
def example(public_directory: str) -> str:
    """Make the example of the specification."""
    directory = os.path.join(public_directory, "toi-example")
    layout = executor_layout(
        os.path.join(directory, "layout"),
        "cat /toi/inputs/* | grep -c . > /dev/null; cat /toi/inputs/parameters > /toi/outputs/test",
    )
    addition = component("example.com/example", "1.0.0", [package(EXAMPLE, media_type="text/yaml")])
    return make_archive(
        os.path.join(directory, "ctf"), with_executor(addition, layout, name="installerimage")
    )


def test_the_example_of_the_specification_runs_with_the_usual_files(root_shim: Shim, example: str) -> None:
    here = os.path.dirname(root_shim.root)
    Path(here, "TOIParameters").write_text(PARAMETERS)
    Path(here, "TOICredentials").write_text(CREDENTIALS)
    code, out, err = bootstrap(root_shim, "install", f"{example}//example.com/example")
    assert code == 0, err
    assert yaml.safe_load(out) == {
        "outputs": {"bla": {"parameters": {"username": "admin", "password": "sesame"}}}
    }
    Path(here, "TOIParameters").write_text(f"parameters: {{password: 1, other: {SECRET}}}\nmore: 1")
    code, _, err = bootstrap(root_shim, "install", f"{example}//example.com/example")
    assert code == 125
    for fault in ("parameters.password must be text", "parameters.other is not known", "more is not known"):
        assert fault in err


def test_an_image_in_a_registry_runs_as_a_resource_and_named_directly(
    root_shim: Shim, registry: RegistryServer, layout: str, tmp_path: Path
) -> None:
    pushed = registry.push(layout, "latest", "toi/executor:1")
    digest = root_shim.run("pull", pushed).out.decode().strip()
    entries = [
        {"actions": ["resource"], "resourceRef": {"resource": {"name": "image"}}},
        {"actions": ["named"], "image": {"ref": pushed, "digest": digest}},
        {"actions": ["other"], "image": {"ref": pushed, "digest": f"sha256:{'0' * 64}"}},
        {"actions": ["local"], "image": {"ref": f"oci:{layout}"}},
    ]
    for each in entries:
        each["outputs"] = {"user": "user"}
    access = {"type": "ociArtifact", "imageReference": pushed}
    addition = component(
        "example.com/remote",
        "1.0.0",
        [package({"executors": entries}), Elsewhere("image", access, type="ociImage")],
    )
    addition = with_global_access(addition, "package", {"type": "wget", "url": "http://a.example/package"})
    source = f"{make_archive(tmp_path / 'ctf', addition)}//example.com/remote"
    for action in ("resource", "named"):
        code, out, err = bootstrap(root_shim, action, source)
        assert (code, yaml.safe_load(out)) == (0, {"outputs": {"user": 65534}}), err
        assert ("meant for development only" in err) == (action == "named")
    for action, refusal in (("other", "does not have"), ("local", "only registries are allowed")):
        code, _, err = bootstrap(root_shim, action, source)
        assert (code, refusal in err) == (125, True), err
    for options, copied in (([], False), (["--copy-resources"], True)):
        directory = str(tmp_path / f"env-{copied}")
        assert bootstrap(root_shim, "resource", source, "--create-env", directory, *options)[0] == 0
        with tarfile.open(os.path.join(directory, "inputs", "ocmrepo"), "r:gz") as archive:
            sizes = [each.size for each in archive.getmembers()]
        assert (max(sizes) > 1 << 20) is copied
        with Session() as session:
            descriptor = session.component_version(
                f"{directory}/inputs/ocmrepo//example.com/remote"
            ).descriptor
        assert descriptor.resources[0] == addition.descriptor.resources[0]


def test_the_credentials_of_the_registry_are_passed_on(
    root_shim: Shim, registry_with_password: RegistryServer, layout: str
) -> None:
    server = registry_with_password
    here = os.path.dirname(root_shim.root)
    env = {"DOCKER_CONFIG": here}
    login = ("login", server.host, "--username", server.user, "--password-stdin")
    assert root_shim.run(*login, stdin=server.password.encode(), env=env).code == 0
    entries = [{"resourceRef": {"resource": {"name": "image"}}, "outputs": {"ocmconfig": "config"}}]
    addition = with_executor(
        component("example.com/kept", "1.0.0", [package({"executors": entries})]), layout
    )
    archive = make_archive(os.path.join(here, "ctf"), addition)
    source = f"{archive}//example.com/kept:1.0.0"
    assert root_shim.run("ocm", "transfer", source, f"{server.host}/kept", env=env).code == 0
    done = root_shim.run("toi", "bootstrap", "install", f"{server.host}/kept//example.com/kept", env=env)
    assert done.code == 0, done.err
    (_, consumers, _) = yaml.safe_load(done.out)["outputs"]["config"]["configurations"]
    host, _, port = server.host.partition(":")
    (consumer,) = consumers["consumers"]
    assert consumer["identity"] == {
        "type": "OCIRegistry",
        "hostname": host,
        "port": port,
        "pathprefix": "kept",
    }
    known = {"username": server.user, "password": server.password}
    assert consumer["credentials"][0]["properties"] == {**known, "serverAddress": server.host}


def test_toi_config_writes_the_files_of_a_package(root_shim: Shim, sources: Sources) -> None:
    here = Path(root_shim.root).parent
    words = ("toi", "config", "--ocmconfig", "None", *sources.components["directory"], "package")
    done = root_shim.run(*words)
    assert (done.code, done.out.decode().split()) == (
        0,
        ["TOIParameters", "TOICredentials", "TOIParameters.jsonscheme"],
    )
    assert yaml.safe_load((here / "TOIParameters").read_text()) == {"parameters": {"password": "change me"}}
    assert "KUBECONFIG" in (here / "TOICredentials").read_text()
    assert json.loads((here / "TOIParameters.jsonscheme").read_text()) == PACKAGE["configScheme"]
    (here / "TOIParameters").write_text("edited")
    refused = root_shim.run(*words)
    assert (refused.code, b"would be overwritten" in refused.err) == (125, True)
    assert (here / "TOIParameters").read_text() == "edited"
    assert root_shim.run(*words, "-f").code == 0
    assert (here / "TOIParameters").read_text() != "edited"
    done = root_shim.run(*words, "-p", "mine.yaml", "-c", "creds")
    assert done.out.decode().split() == ["mine.yaml", "creds", "mine.jsonscheme"]


def test_toi_describe_shows_a_package_as_text_and_json(
    sources: Sources, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tweed_shim.cli.main import main

    assert (
        main(
            [
                "--root",
                str(tmp_path),
                "toi",
                "describe",
                "--ocmconfig",
                "None",
                *sources.components["tgz"],
                "package",
            ]
        )
        == 0
    )
    output = capsys.readouterr().out
    for line in (
        "  Installs things.",
        "    output noise: the random",
        "    credentials target are its kubeconfig",
        "    asks for credentials spare (optional): not needed",
        "  target: where to",
        "    parameters (object), required",
    ):
        assert line.strip() in [each.strip() for each in output.splitlines()], line
    main(
        [
            "--root",
            str(tmp_path),
            "toi",
            "describe",
            "--json",
            "--ocmconfig",
            "None",
            *sources.components["tgz"],
            "package",
        ]
    )
    about = json.loads(capsys.readouterr().out)
    assert [each["actions"] for each in about["executors"]] == [["install", "uninstall"], ["*"]]
    assert about["executors"][0]["credentials"]["kubeconfig"]["consumerId"]["purpose"] == "target"
    assert about["parameters"]["scheme"] == PACKAGE["configScheme"]

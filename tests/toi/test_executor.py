"""The library for executors: how it reads the tree of the contract, and writes outputs."""

import ast
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from components import Elsewhere, Local, component, make_archive
from tweed_shim.data import documents
from tweed_shim.ocm import ocmconfig
from tweed_shim.toi import executor
from tweed_shim.toi.executor import Call, ExecutorError, Outputs

NAMED = "example.com/app:1.0.0"
TARGET = {"type": "Kubernetes", "purpose": "target"}
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)

Tree = Callable[..., str]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Make a tree of the contract with some inputs, and return the option that names it."""

    def make(**inputs: str | bytes) -> str:
        for name in ("inputs", "outputs"):
            (tmp_path / name).mkdir()
        for name, content in inputs.items():
            data = content if isinstance(content, bytes) else content.encode()
            (tmp_path / "inputs" / name).write_bytes(data)
        return f"--bootstraproot={tmp_path}"

    return make


def ocm_config(*, repository: str = "default", **more: ocmconfig.Entry) -> bytes:
    """Return an OCM configuration as the contract has it: named credentials, and consumers that use them."""
    memory = ocmconfig.memory_entry({"target": {"token": "s3cret"}}, repository=repository)
    uses = ocmconfig.memory_credentials("target", repository=repository)
    registry = ocmconfig.direct_credentials({"username": "me", "password": "pw"})
    consumers = ocmconfig.consumers_entry(
        [
            (TARGET, uses),
            (
                {"type": "OCIRegistry", "hostname": "ghcr.io"},
                ocmconfig.direct_credentials({"username": "any"}),
            ),
            ({"type": "OCIRegistry", "hostname": "ghcr.io", "pathprefix": "acme/app"}, registry),
        ]
    )
    return ocmconfig.encode(ocmconfig.OcmConfiguration((memory, consumers, *more.values())))


def complaint(*arguments: str) -> str:
    with pytest.raises(ExecutorError) as raised:
        executor.read(arguments)
    return str(raised.value)


def test_a_call_has_the_inputs_of_the_contract(tree: Tree, tmp_path: Path) -> None:
    root = tree(config="level: info\n", parameters="user: admin\nport: 80\n", ocmconfig=ocm_config())
    call = executor.read([root, "upgrade", NAMED])
    assert (call.action, call.component, call.version) == ("upgrade", "example.com/app", "1.0.0")
    assert call.component_version == NAMED
    assert (call.config, call.parameters) == ({"level": "info"}, {"user": "admin", "port": 80})
    assert dict(call.credentials) == {"target": {"token": "s3cret"}}
    assert call.repository == str(tmp_path / "inputs" / "ocmrepo")
    assert call.ocm_config == str(tmp_path / "inputs" / "ocmconfig")


def test_missing_inputs_are_none(tree: Tree) -> None:
    call = executor.read([tree(), NAMED])
    assert (call.action, call.config, call.parameters, len(call.credentials)) == ("install", None, None, 0)


def test_the_file_properties_names_action_and_component_version(tree: Tree, tmp_path: Path) -> None:
    root = tree()
    (tmp_path / "properties").write_text(f"action: remove\ncomponentVersion: {NAMED}\nimage: app\n")
    assert executor.read([root]).action == "remove"
    assert executor.read([root]).component_version == NAMED
    assert executor.read([root, "other.example/app:2"]).action == "install"


def test_options_replace_single_inputs(tree: Tree, tmp_path: Path) -> None:
    root = tree(config="a: 1\n", parameters="a: 1\n", ocmconfig=ocm_config())
    other = tmp_path / "other"
    other.mkdir()
    (other / "config").write_text("b: 2\n")
    (other / "p").write_text("c: 3\n")
    (other / "o").write_text("type: generic.config.ocm.software/v1\n")
    directory = str(other)
    moved = executor.read(
        [root, NAMED, "--inputs", directory, "--outputs", directory, "--ctf", f"{directory}/ctf"]
    )
    assert (moved.config, moved.parameters) == ({"b": 2}, None)
    assert (moved.repository, moved.outputs.directory) == (f"{directory}/ctf", directory)
    named = executor.read([root, NAMED, f"--parameters={directory}/p", f"--ocmconfig={directory}/o"])
    assert (named.config, named.parameters, len(named.credentials)) == ({"a": 1}, {"c": 3}, 0)
    assert "nosuch is missing" in complaint(root, NAMED, f"--config={directory}/nosuch")


def test_plain_scalars_mean_the_same_as_in_the_shim(tree: Tree) -> None:
    text = "[yes, 0123, 2020-01-01, 1e+21, 12:30, 0x1F, .inf, 1_000, ~, true, -3, 1.5, '1', 0o17, 496e2714]"
    wanted = documents.load(text, name="it").value
    result = executor.read([tree(config=text), NAMED]).config
    # A number beyond what a double holds is text for the shim alone.
    assert (result[:-1], result[-1]) == (wanted[:-1], float("inf"))


def test_credentials_are_found_by_consumer(tree: Tree) -> None:
    result = executor.read([tree(ocmconfig=ocm_config()), NAMED]).credentials
    assert result.for_consumer(**TARGET) == {"token": "s3cret"}
    assert result.for_consumer(type="OCIRegistry", hostname="ghcr.io", pathprefix="acme/app/x") == {
        "username": "me",
        "password": "pw",
    }
    assert result.for_consumer(type="OCIRegistry", hostname="ghcr.io", pathprefix="acme/application") == {
        "username": "any"
    }
    assert result.for_consumer(type="OCIRegistry", hostname="other.example") is None
    assert result.for_consumer(type="Kubernetes") is None


def test_credentials_of_other_memory_repositories_have_no_name(tree: Tree) -> None:
    result = executor.read([tree(ocmconfig=ocm_config(repository="other")), NAMED]).credentials
    assert (len(result), result.for_consumer(**TARGET)) == (0, {"token": "s3cret"})


def test_configuration_types_of_the_ocm_command_alone_are_ignored(tree: Tree) -> None:
    foreign = ocmconfig.consumers_entry([({"type": "Vault"}, {"type": "HashiCorpVault"})])
    config = ocm_config(foreign=foreign, other={"type": "attributes.config.ocm.software"})
    result = executor.read([tree(ocmconfig=config), NAMED]).credentials
    assert result.for_consumer(type="Vault") is None
    assert result["target"] == {"token": "s3cret"}


def test_no_value_of_a_credential_is_shown(tree: Tree) -> None:
    call = executor.read([tree(ocmconfig=ocm_config(), parameters="password: s3cret\n"), NAMED])
    shown = f"{call} {call!r} {call.credentials['target']} {dict(call.credentials)} {call.credentials!r}"
    assert "s3cret" not in shown
    assert "token" in shown


def test_missing_credentials_are_named(tree: Tree) -> None:
    result = executor.read([tree(ocmconfig=ocm_config()), NAMED]).credentials
    with pytest.raises(ExecutorError, match="no credentials 'other': the call has target; add a request"):
        result["other"]
    assert result.get("other") is None
    assert "other" not in result


@pytest.mark.parametrize("content", [b"{", b"a: *b", b"\xff", b"!!python/name:os.system", b"a: 's3cret"])
def test_an_input_that_is_not_yaml_is_named_and_not_quoted(tree: Tree, content: bytes) -> None:
    message = complaint(tree(parameters=content), NAMED)
    assert message.endswith("inputs/parameters is not well-formed YAML: make it again")


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "s3cret",
        "a: b",
        "type: generic.config.ocm.software\nconfigurations: [s3cret]",
        "type: memory.credentials.config.ocm.software\ncredentials: [s3cret]",
        "type: memory.credentials.config.ocm.software\ncredentials: s3cret",
        "type: credentials.config.ocm.software\nconsumers: [{identity: {a: b}, credentials: []}]",
        "type: credentials.config.ocm.software\nconsumers: [{identity: {a: b}, credentials: [{a: s3cret}]}]",
    ],
)
def test_a_malformed_ocm_configuration_is_named_and_not_quoted(tree: Tree, content: str) -> None:
    assert complaint(tree(ocmconfig=content), NAMED).endswith("ocmconfig is malformed: make it again")


@pytest.mark.parametrize("words", [[], ["install", "app"], ["app:"], [":1.0.0"]])
def test_a_malformed_component_version_is_refused(tree: Tree, words: list[str]) -> None:
    assert "write it as NAME:VERSION" in complaint(tree(), *words)


@given(PLAIN)
@settings(deadline=None, max_examples=60)
def test_outputs_are_both_yaml_and_json(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    directory = tmp_path_factory.getbasetemp() / "outputs"
    directory.mkdir(exist_ok=True)
    Outputs(str(directory))["value"] = value
    data = (directory / "value").read_bytes()
    assert json.loads(data) == value
    # PyYAML reads `1e+300` as text; documents.load and the reader of the library read it as a number.
    assert yaml.load(data, executor._Loader) == value


def test_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    outputs = Outputs(str(tmp_path))
    outputs["raw"] = b"\0\xff"
    outputs["raw"] = bytearray(b"a: b")
    assert (tmp_path / "raw").read_bytes() == b"a: b"
    assert os.listdir(tmp_path) == ["raw"]


def test_an_output_can_be_read_by_its_owner_alone(tmp_path: Path) -> None:
    Outputs(str(tmp_path))["kubeconfig"] = "secret"
    assert stat.S_IMODE((tmp_path / "kubeconfig").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "a\0b"])
def test_an_output_with_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExecutorError, match="no file can have this name; rename it"):
        Outputs(str(tmp_path))[name] = 1
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("value", [object(), {1, 2}, float("nan"), "\ud800"])
def test_an_output_that_json_cannot_hold_is_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(ExecutorError, match="JSON cannot hold it; use bytes or plain data"):
        Outputs(str(tmp_path))["it"] = value
    assert not os.listdir(tmp_path)


def test_outputs_into_a_missing_directory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExecutorError, match="'it' cannot be written: No such file"):
        Outputs(str(tmp_path / "nosuch"))["it"] = 1


def archive(path: Path, file_format: str) -> str:
    """Write a transport archive with the component version of these tests and one that it references."""
    app = component(
        "example.com/app",
        resources=[
            Local("notes", b"some notes"),
            Elsewhere("away", {"type": "wget", "url": "https://example.com/x"}),
            Local("twice", b"1"),
            Local("twice", b"2", version="2.0.0"),
        ],
        references=["example.com/lib:2.0.0+build"],
    )
    lib = component("example.com/lib", "2.0.0+build", resources=[Local("book", b"pages")])
    return make_archive(path, app, lib, file_format=file_format)


def call_with(tree: Tree, path: str) -> Call:
    return executor.read([tree(), NAMED, "--ctf", path])


@pytest.mark.parametrize("file_format", ["directory", "tar", "tgz"])
def test_the_component_version_can_be_read(tree: Tree, tmp_path: Path, file_format: str) -> None:
    call = call_with(tree, archive(tmp_path / "ctf", file_format))
    assert call.descriptor()["component"]["name"] == "example.com/app"
    assert call.descriptor("example.com/lib", "2.0.0+build")["component"]["resources"][0]["name"] == "book"
    assert call.resource("notes") == b"some notes"
    assert call.resource("twice", version="2.0.0") == b"2"


def test_missing_resources_and_component_versions_are_named(tree: Tree, tmp_path: Path) -> None:
    call = call_with(tree, archive(tmp_path / "ctf", "directory"))
    for words, ask in (
        ("has no resources 'nosuch'", lambda: call.resource("nosuch")),
        ("has 2 resources 'twice'", lambda: call.resource("twice")),
        (
            "'away' is not in the archive: its access is wget; fetch it from there, or bootstrap with --copy-resources",
            lambda: call.resource("away"),
        ),
        ("has no component version example.com/app:3", lambda: call.descriptor(version="3")),
    ):
        with pytest.raises(ExecutorError) as raised:
            ask()
        assert words in str(raised.value)


def test_a_damaged_archive_is_named(tree: Tree, tmp_path: Path) -> None:
    path = archive(tmp_path / "ctf", "directory")
    call = call_with(tree, path)
    for blob in (tmp_path / "ctf" / "blobs").iterdir():
        if blob.read_bytes() == b"some notes":
            blob.write_bytes(b"other text")
    with pytest.raises(ExecutorError, match="is damaged: make it again"):
        call.resource("notes")
    (tmp_path / "ctf" / "artifact-index.json").write_text('{"artifacts": 1}')
    with pytest.raises(ExecutorError, match="is malformed: make it again"):
        call.descriptor()


@pytest.mark.parametrize("content", [b"", b"no tar at all", b"\x1f\x8b\x08\0"])
def test_a_file_that_is_no_archive_is_named(tree: Tree, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ctf"
    path.write_bytes(content)
    with pytest.raises(ExecutorError, match=r"ctf cannot be read: it is damaged$"):
        call_with(tree, str(path)).descriptor()


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (3, 3)])
def test_the_exit_code_is_the_returned_one(tree: Tree, returned: int | None, code: int) -> None:
    assert executor.run(lambda _call: returned, [tree(), NAMED]) == code


def test_a_fault_is_one_sentence(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    assert executor.run(lambda call: call.outputs.__setitem__("a/b", 1), [tree(), NAMED]) == 1
    message = capsys.readouterr().err
    assert message.endswith("the output 'a/b' cannot be written: no file can have this name; rename it\n")
    assert message.count("\n") == 1


def test_three_arguments_are_too_many(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        executor.run(lambda _call: 0, [tree(), "install", NAMED, "more"])
    assert raised.value.code == 2
    assert "more arguments than an action and a component version" in capsys.readouterr().err


def test_the_file_stands_alone() -> None:
    with open(executor.__file__, encoding="utf-8") as file:
        nodes = list(ast.walk(ast.parse(file.read())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in names} <= {*sys.stdlib_module_names, "yaml"}


def test_a_copy_of_the_file_is_enough_for_a_program(tree: Tree, tmp_path: Path) -> None:
    root = tree(config="level: info\n")
    with open(executor.__file__, "rb") as source:
        (tmp_path / "toi_executor.py").write_bytes(source.read())
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, toi_executor\n"
        "def perform(call):\n"
        "    call.outputs['seen'] = [call.action, call.config]\n"
        "sys.exit(toi_executor.run(perform))\n"
    )
    done = subprocess.run([sys.executable, program, root, "check", NAMED], check=False, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert json.loads((tmp_path / "outputs" / "seen").read_bytes()) == ["check", {"level": "info"}]

"""The commands `toi` without a run: packages that are refused, described, or whose files are written."""

import json
import os
from pathlib import Path

import pytest

from components import Elsewhere, Local, component, make_archive
from toi_packages import executor, library, package, with_identity
from tweed_shim.ocm.repository import Addition


def one(*resources: Local | Elsewhere, name: str = "example.com/bad", version: str = "1.0.0") -> Addition:
    return component(name, version, resources)


def entry(name: str, **fields: object) -> dict[str, object]:
    return {"resourceRef": {"resource": {"name": name}}, **fields}


PLAIN = library("plain", "a: 1")


def of(*entries: object, **fields: object) -> Local:
    return package({"executors": list(entries), **fields})


IMAGE = {"image": {"ref": "x"}}
OWN = entry("executor")


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ([PLAIN],
         "cannot be bootstrapped: it has no resource of type toiPackage, but of the types yaml; name a component"),
        ([package("[]")], "is no TOI package: the document (line 1) must be a map"),
        ([of({**IMAGE, "actions": ["a", "b"]})], "has no action 'install'; use one that it has: a, b"),
        ([of(entry("gone"))], "has no resource name=gone; use one of these: name=package"),
        ([of(entry("plain")), PLAIN], "the type 'yaml': an executor has ociImage and toiExecutor"),
        ([of(OWN), executor({"imageRef": {"resource": {"name": "plain"}}}), PLAIN],
         "'yaml': an executor has ociImage; ask"),
        ([of(OWN), executor({**IMAGE, "actions": ["a"]})], "has no action 'install'; use one that it has: a"),
        ([of(entry("executor", outputs={"x": "y"})), executor({**IMAGE, "outputs": {"z": {}}})],
         "does not declare: x; it declares z"),
        ([of(entry("executor", config={"a": 1})), executor({**IMAGE, "configScheme": {"additionalProperties": False}})],
         "the settings (config) of its executors entry do not fit"),
        ([of(IMAGE, configTemplate={"a": "(( missing ))"})], "(( missing ))\tin the template of the package"),
        ([of({**IMAGE, "parameterMapping": {"a": '(( getCredentials("x") ))'}})], "credential 'x' not found"),
        ([of(IMAGE, templateLibraries=[{"resource": {"name": "gone"}}])], "has no resource name=gone"),
        ([of(IMAGE, credentials={"a": {"description": "d"}})], "credentials are needed: a"),
        ([of({"image": {"ref": "A b"}})], "'A b'"),
    ],
)  # fmt: skip
def test_bad_packages_are_refused_in_one_sentence(
    resources: list[Local],
    message: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    archive = make_archive(tmp_path / "ctf", one(*resources))
    err = refused(tmp_path, capfd, "bootstrap", "install", f"{archive}//example.com/bad")
    assert message in err
    assert not (tmp_path / "store" / "runs").exists()


def refused(tmp_path: Path, capfd: pytest.CaptureFixture[str], *words: str) -> str:
    from tweed_shim.cli.main import main

    before = os.umask(0o077)
    try:
        assert main(["--root", str(tmp_path / "store"), "toi", *words, "--ocmconfig", "None"]) == 125
    finally:
        os.umask(before)
    return capfd.readouterr().err


def test_a_component_with_several_versions_needs_a_version(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    archive = make_archive(tmp_path / "ctf", one(PLAIN), one(PLAIN, version="2.0.0"))
    message = refused(tmp_path, capfd, "describe", f"{archive}//example.com/bad")
    assert "example.com/bad has several versions, 1.0.0, 2.0.0; name one" in message
    assert "does not exist" in refused(tmp_path, capfd, "describe", f"{archive}//example.com/bad:3.0.0")
    assert "names no component" in refused(tmp_path, capfd, "describe", archive)


def test_a_missing_package_is_refused_with_the_existing_ones(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    archive = make_archive(tmp_path / "ctf", with_identity(one(of(IMAGE)), "package", {"platform": "aws"}))
    message = refused(tmp_path, capfd, "bootstrap", "install", f"{archive}//example.com/bad", "platform=gcp")
    assert "has no package platform=gcp; name one that it has: name=package, platform=aws" in message


def test_a_description_has_no_control_characters_for_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tweed_shim.cli.main import main

    evil = "x\x1b]0;pwned\a\x1b[31m\u202e\x9b2J"
    content = {
        "description": f"two\nlines {evil}",
        "executors": [{**IMAGE, "actions": [f"{evil}\nCredentials: none"], "outputs": {"a": evil}}],
        "credentials": {evil: {"description": evil, "properties": {evil: evil}}},
        "configScheme": {"properties": {evil: {"type": evil, "description": evil}}},
    }
    archive = make_archive(tmp_path / "ctf", one(package(content)))
    words = ["--root", str(tmp_path), "toi", "describe", "--ocmconfig", "None", f"{archive}//example.com/bad"]
    assert main(words) == 0
    output = capsys.readouterr().out
    assert all(line.isprintable() for line in output.splitlines())
    shown = r"x\x1b]0;pwned\x07\x1b[31m\u202e\x9b2J"
    assert output.count(shown) == 10
    assert {"  two", f"  lines {shown}", rf"  {shown}\nCredentials: none: by x"} < {*output.splitlines()}
    assert main([*words, "--json"]) == 0
    assert evil in json.loads(capsys.readouterr().out)["credentials"]


@pytest.mark.parametrize("other", ["same", "./same", "same.jsonscheme"])
def test_config_files_with_the_same_path_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], other: str
) -> None:
    offers = {"configFile": {"content": {"a": 1}}, "credentialsFile": {"content": {"credentials": {}}}}
    archive = make_archive(
        tmp_path / "ctf", one(of(IMAGE, configScheme={"type": "object"}, additionalResources=offers))
    )
    same, credentials = str(tmp_path / "same"), os.path.join(tmp_path, other)
    message = refused(tmp_path, capfd, "config", f"{archive}//example.com/bad", "-p", same, "-c", credentials)
    assert (
        f"would be written to the file of the parameters or of their scheme, {credentials}: name another"
        in message
    )
    assert os.listdir(tmp_path) == ["ctf"]


def test_an_image_that_is_named_directly_is_warned_of(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    archive = make_archive(tmp_path / "own", one(of(IMAGE)))
    words = ("bootstrap", "install", "--pull", "never")
    message = refused(tmp_path, capfd, *words, f"{archive}//example.com/bad")
    assert (
        "tweed-shim: the package name=package of example.com/bad:1.0.0 names the image x directly" in message
    )
    archive = make_archive(tmp_path / "its", one(of(OWN), executor(IMAGE)))
    message = refused(tmp_path, capfd, *words, f"{archive}//example.com/bad")
    assert (
        "the resource (name=executor), which the package name=package of example.com/bad:1.0.0 uses, names"
        in message
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "Parameters: any"),
        ({"configScheme": True}, "Parameters: any"),
        ({"configTemplate": {"a": 1}}, "Parameters: for a template; --json shows it"),
        ({"configTemplate": {"a": 1}, "configScheme": {"properties": {"a": {}}}}, "Parameters\n  a"),
    ],
)
def test_the_parameters_of_a_package_are_described(
    fields: dict[str, object], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tweed_shim.cli.main import main

    archive = make_archive(tmp_path / "ctf", one(of(IMAGE, **fields)))
    assert main(["toi", "describe", "--ocmconfig", "None", f"{archive}//example.com/bad"]) == 0
    assert capsys.readouterr().out.endswith(f"\nCredentials: none\n{expected}\n")

"""`toi` with packages that nothing is run of: refused, described, or with files to offer."""

import json
import os
from pathlib import Path

import pytest

from components import Elsewhere, Local, component, make_archive
from packages import executor, library, package, with_identity
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
        ([PLAIN], "it has no resource of type toiPackage, but of the types yaml"),
        ([package("[]")], "is no TOI package: the document (line 1) must be a map"),
        ([of({**IMAGE, "actions": ["a", "b"]})], "has no action 'install': it has a, b"),
        ([of(entry("gone"))], "has no resource name=gone: it has name=package"),
        ([of(entry("plain")), PLAIN], "the type 'yaml': an executor has ociImage and toiExecutor"),
        ([of(OWN), executor({"imageRef": {"resource": {"name": "plain"}}}), PLAIN], "'yaml': an executor has ociImage"),
        ([of(OWN), executor({**IMAGE, "actions": ["a"]})], "has no action 'install': it has a"),
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


def test_the_component_version_has_to_be_the_only_one(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    archive = make_archive(tmp_path / "ctf", one(PLAIN), one(PLAIN, version="2.0.0"))
    said = refused(tmp_path, capfd, "describe", f"{archive}//example.com/bad")
    assert "example.com/bad has several versions, 1.0.0, 2.0.0: name one" in said
    assert "is not there" in refused(tmp_path, capfd, "describe", f"{archive}//example.com/bad:3.0.0")
    assert "names no component" in refused(tmp_path, capfd, "describe", archive)


def test_a_package_that_is_not_there_is_told_with_those_that_are(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    archive = make_archive(tmp_path / "ctf", with_identity(one(of(IMAGE)), "package", {"platform": "aws"}))
    said = refused(tmp_path, capfd, "bootstrap", "install", f"{archive}//example.com/bad", "platform=gcp")
    assert "has no package platform=gcp: it has name=package, platform=aws" in said


def test_a_description_commands_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tweed_shim.cli.main import main

    evil = "x\x1b]0;pwned\a\x1b[31m\u202e\x9b2J"
    said = {
        "description": f"two\nlines {evil}",
        "executors": [{**IMAGE, "actions": [f"{evil}\nCredentials: none"], "outputs": {"a": evil}}],
        "credentials": {evil: {"description": evil, "properties": {evil: evil}}},
        "configScheme": {"properties": {evil: {"type": evil, "description": evil}}},
    }
    archive = make_archive(tmp_path / "ctf", one(package(said)))
    words = ["--root", str(tmp_path), "toi", "describe", "--ocmconfig", "None", f"{archive}//example.com/bad"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert all(line.isprintable() for line in told.splitlines())
    shown = r"x\x1b]0;pwned\x07\x1b[31m\u202e\x9b2J"
    assert told.count(shown) == 10
    assert {"  two", f"  lines {shown}", rf"  {shown}\nCredentials: none: by x"} < {*told.splitlines()}
    assert main([*words, "--json"]) == 0
    assert evil in json.loads(capsys.readouterr().out)["credentials"]


@pytest.mark.parametrize("other", ["same", "./same", "same.jsonscheme"])
def test_no_two_files_are_written_to_one(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], other: str
) -> None:
    offers = {"configFile": {"content": {"a": 1}}, "credentialsFile": {"content": {"credentials": {}}}}
    archive = make_archive(
        tmp_path / "ctf", one(of(IMAGE, configScheme={"type": "object"}, additionalResources=offers))
    )
    same, credentials = str(tmp_path / "same"), os.path.join(tmp_path, other)
    said = refused(tmp_path, capfd, "config", f"{archive}//example.com/bad", "-p", same, "-c", credentials)
    assert (
        f"would be written to the file of the parameters or of their scheme, {credentials}: name another"
        in said
    )
    assert os.listdir(tmp_path) == ["ctf"]


def test_who_names_an_image_directly_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    archive = make_archive(tmp_path / "own", one(of(IMAGE)))
    words = ("bootstrap", "install", "--pull", "never")
    said = refused(tmp_path, capfd, *words, f"{archive}//example.com/bad")
    assert "tweed-shim: the package name=package of example.com/bad:1.0.0 names the image x directly" in said
    archive = make_archive(tmp_path / "its", one(of(OWN), executor(IMAGE)))
    said = refused(tmp_path, capfd, *words, f"{archive}//example.com/bad")
    assert (
        "the resource (name=executor), which the package name=package of example.com/bad:1.0.0 uses, names"
        in said
    )


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "Parameters: any"),
        ({"configScheme": True}, "Parameters: any"),
        ({"configTemplate": {"a": 1}}, "Parameters: for a template; --json shows it"),
        ({"configTemplate": {"a": 1}, "configScheme": {"properties": {"a": {}}}}, "Parameters\n  a"),
    ],
)
def test_what_is_known_of_the_parameters_is_described(
    fields: dict[str, object], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tweed_shim.cli.main import main

    archive = make_archive(tmp_path / "ctf", one(of(IMAGE, **fields)))
    assert main(["toi", "describe", "--ocmconfig", "None", f"{archive}//example.com/bad"]) == 0
    assert capsys.readouterr().out.endswith(f"\nCredentials: none\n{told}\n")

import json
import os
from pathlib import Path

import pytest
import yaml

from components import Elsewhere, Local, component, make_archive
from servers import RegistryServer
from toi_packages import make_component_archive, package
from tweed_shim.cli.main import main

LIB = component("example.com/lib", "2.0.0", [Local("one", b"first")])
APP = component(
    "example.com/app", "1.0.0", [Local("two", b"second"), Local("three", b"third")], ["example.com/lib:2.0.0"]
)
OLD = component("example.com/app", "0.9.0")


@pytest.fixture
def archive(tmp_path: Path) -> str:
    return make_archive(tmp_path / "a", LIB, APP, OLD)


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCM_CONFIG", "None")


def run(*words: str) -> int:
    before = os.umask(0o077)
    try:
        return main(["ocm", *words])
    finally:
        os.umask(before)


def table(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_component_versions_are_listed(archive: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("get", archive) == 0
    assert table(capsys.readouterr().out) == [
        ["COMPONENT", "VERSION", "PROVIDER"],
        ["example.com/app", "0.9.0", "acme"],
        ["example.com/app", "1.0.0", "acme"],
        ["example.com/lib", "2.0.0", "acme"],
    ]
    assert run("get", f"{archive}//example.com/app") == 0
    assert table(capsys.readouterr().out)[1:] == [["example.com/app", "1.0.0", "acme"]]
    assert run("get", "--all", "--repo", archive, "example.com/app") == 0
    assert [row[1] for row in table(capsys.readouterr().out)[1:]] == ["0.9.0", "1.0.0"]
    assert run("get", "-r", f"{archive}//example.com/app", "-c", ">=1") == 0
    assert [row[0] for row in table(capsys.readouterr().out)[1:]] == ["example.com/lib", "example.com/app"]


def test_descriptors_are_printed(archive: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("get", f"{archive}//example.com/app:1.0.0", "--format", "yaml") == 0
    assert capsys.readouterr().out.encode() == APP.text
    assert run("get", f"{archive}//example.com/app:1.0.0", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [yaml.safe_load(APP.text)]


def test_resources_are_listed(archive: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("resources", f"{archive}//example.com/app") == 0
    assert table(capsys.readouterr().out)[1] == [
        "two",
        "1.0.0",
        "name=two",
        "plainText",
        "local",
        "localBlob",
    ]
    assert run("resources", "-r", f"{archive}//example.com/app", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["component"], row["name"]) for row in rows] == [
        ("example.com/lib:2.0.0", "one"),
        ("example.com/app:1.0.0", "two"),
        ("example.com/app:1.0.0", "three"),
    ]
    assert run("resources", f"{archive}//example.com/app", "--format", "yaml") == 0
    assert yaml.safe_load(capsys.readouterr().out) == rows[1:]


def test_names_of_strangers_send_no_control_characters_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = component("example.com/app", resources=[Local("two", b"", type="a\x1b]0;pwned\a")])
    archive = make_archive(tmp_path / "a", hostile)
    assert run("resources", archive + "//example.com/app") == 0
    assert r"  a\x1b]0;pwned\x07  " in capsys.readouterr().out
    assert run("resources", archive + "//example.com/app", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["type"] == "a\x1b]0;pwned\a"


def test_a_resource_is_downloaded(
    archive: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run("download", f"{archive}//example.com/app", "two", "-O", f"{tmp_path}/out") == 0
    assert (tmp_path / "out").read_bytes() == b"second"
    assert run("download", f"{archive}//example.com/app", "two", "version=1.0.0", "-O", "-") == 0
    assert capfdbinary.readouterr().out == b"second"


def test_component_versions_are_transferred(
    archive: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    target = f"{tmp_path}/new.tar"
    assert run("transfer", "-r", f"{archive}//example.com/app", target, "-t", "tar") == 0
    shown = capfd.readouterr()
    assert table(shown.out)[1:] == [["example.com/lib", "2.0.0", "yes"], ["example.com/app", "1.0.0", "yes"]]
    assert "tweed-shim: transferring example.com/app:1.0.0" in shown.err
    assert run("transfer", "-q", archive, target, "--json") == 0
    assert {(row["version"], row["done"]) for row in json.loads(capfd.readouterr().out)} == {
        ("0.9.0", True),
        ("1.0.0", False),
        ("2.0.0", False),
    }


@pytest.mark.parametrize("named", ["", "//example.com/app", "//example.com/app:1.0.0"])
@pytest.mark.parametrize("prefix", ["", "ca::", "ComponentArchive::"])
def test_a_component_archive_is_named_by_its_path_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], prefix: str, named: str
) -> None:
    alone = component("example.com/app", "1.0.0", [Local("two", b"second"), package({"executors": []})])
    place = make_component_archive(tmp_path / "ca", alone)
    source = f"{prefix}{place}{named}"
    assert run("get", source) == 0
    assert table(capsys.readouterr().out)[1:] == [["example.com/app", "1.0.0", "acme"]]
    assert run("resources", source, "-c", ">=1") == 0
    assert table(capsys.readouterr().out)[1][0] == "two"
    assert run("download", source, "two", "-O", str(tmp_path / "file")) == 0
    assert (tmp_path / "file").read_bytes() == b"second"
    assert run("transfer", source, str(tmp_path / "target")) == 0
    capsys.readouterr()
    assert main(["toi", "describe", source]) == 0
    assert "example.com/app:1.0.0" in capsys.readouterr().out
    assert run("resources", source, "-c", ">=2") == (0 if named.endswith("1.0.0") else 125)


def test_a_transport_archive_needs_a_component_name(archive: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("resources", archive) == 125
    assert "names no component; write" in capfd.readouterr().err


def test_credentials_come_from_the_configuration(
    archive: str, registry_with_password: RegistryServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    host, _, port = registry_with_password.host.partition(":")
    identity = {"type": "OCIRegistry", "hostname": host, "port": port}
    given = {"username": registry_with_password.user, "password": registry_with_password.password}
    specification = {"type": "Credentials", "properties": given}
    consumers = {"consumers": [{"identity": identity, "credentials": [specification]}]}
    (tmp_path / "config").write_text(json.dumps({"type": "credentials.config.ocm.software", **consumers}))
    words = ("transfer", f"{archive}//example.com/lib", f"{registry_with_password.host}/configured")
    assert run(*words, "--ocmconfig", f"{tmp_path}/config") == 0
    assert run(*words) == 125
    shown = capfd.readouterr().err
    assert "requires credentials for" in shown
    assert registry_with_password.password not in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["get", "ARCHIVE//example.com/none"], "the component example.com/none does not exist"),
        (["get", "ARCHIVE//example.com/app:9"], "the component version example.com/app:9 does not exist"),
        (["get", "example.com/app"], "no repository was given"),
        (["get", "ARCHIVE//example.com/app", "-c", "what"], "no version or constraint"),
        (["resources", "ARCHIVE"], "names no component"),
        (
            ["download", "ARCHIVE//example.com/app", "x", "-O", "/dev/null"],
            "has no resources name=x; use one of these: name=two",
        ),
        (
            ["download", "ARCHIVE//example.com/app", "version=1.0.0", "-O", "-"],
            "has 2 resources version=1.0.0",
        ),
        (["download", "ARCHIVE//example.com/app", "two", "-O", "ARCHIVE/no/where"], "cannot be written"),
        (["download", "ARCHIVE//example.com/app", "two", "-O", "-", "--oci-layout"], "writes a directory"),
        (
            ["transfer", "ARCHIVE//example.com/app", "ARCHIVE/new//example.com/app"],
            "leave out //NAME:VERSION",
        ),
        (["verify", "ARCHIVE//example.com/app", "-s", "x", "-k", "/none"], "/none"),
    ],
)
def test_an_ocm_error_is_one_sentence(
    archive: str, words: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code = run(*(word.replace("ARCHIVE", archive) for word in words))
    shown = capfd.readouterr()
    assert code in (2, 125)
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert message in shown.err


@pytest.mark.parametrize(
    ("access", "reason"),
    [
        ({"type": "wget", "url": "http://127.0.0.1:1\\@host:2/a"}, "cannot be used: it has a backslash"),
        (
            {"type": "wget", "url": "http://127.0.0.1:99999/"},
            "cannot be used: its port is not a number from 1 to 65535",
        ),
        ({"type": "wget", "url": "http://[::1/"}, "cannot be used: its host is malformed"),
        (
            {"type": "wget", "url": "http://me:hunter2@127.0.0.1/"},
            "cannot be used: it has a user name or a password",
        ),
        ({"type": "wget", "url": "http://127.0.0.1:1/", "header": {"A": 5}}, "the value of A must be text"),
        ({"type": "helm", "helmRepository": "http://h:x", "helmChart": "c:1"}, "cannot be used: its port"),
        ({"type": "gitHub", "repoUrl": "http://[/a/b", "commit": "0" * 40}, "cannot be used: its host"),
        ({"type": "ociArtifact", "imageReference": "http://me:hunter2@h/a"}, "a user name or a password"),
    ],
)
def test_the_error_of_a_malformed_address_is_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], access: dict[str, object], reason: str
) -> None:
    path = make_archive(tmp_path / "a", component("example.com/app", "1.0.0", [Elsewhere("it", access)]))
    assert run("download", f"{path}//example.com/app", "it", "-O", f"{tmp_path}/out") == 125
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("tweed-shim: ")
    assert reason in line
    assert "hunter2" not in line
    assert sorted(os.listdir(tmp_path)) == ["a"]


def test_a_password_in_the_name_of_a_registry_is_not_repeated(capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("http://me:hunter2@h/x", "https://me:h/unter2@h", "oci::me:hunter2@h/x"):
        assert run("get", f"{name}//example.com/app") == 125
        output = capfd.readouterr().err
        assert "a user name or a password before its registry" in output
        assert "unter2" not in output

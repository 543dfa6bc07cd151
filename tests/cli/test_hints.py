"""Names of what is not there: what happened, why, and what to write instead."""

import os
from pathlib import Path

import pytest

from cli_refusals import refusal


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work = tmp_path / "work"
    (work / "layout").mkdir(parents=True)
    (work / "Layout").mkdir()
    (work / "file.tar").write_bytes(b"x")
    monkeypatch.chdir(work)
    return work


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (
            ("exec", "./layout", "setup"),
            "'./layout' is a path, and its kind comes before it: write oci:./layout",
        ),
        (("pull", "./layout"), "write oci:./layout for the directory"),
        (("pull", "../nosuch"), "write oci:../nosuch for the directory"),
        (("pull", "./file.tar"), "write oci-archive:./file.tar or docker-archive:./file.tar"),
        (("pull", "Layout"), "'Layout' is a path, and its kind comes before it: write oci:Layout"),
        (("exec", "layout", "metadata", "--pull", "never"), "if the path layout is meant, write oci:layout"),
        (("pull", "oci:nosuch"), "/nosuch does not exist; name the directory of an image layout that does"),
        (
            ("pull", "oci:file.tar"),
            "file.tar is not a directory; name a layout that is, or write oci-archive:",
        ),
        (("pull", "oci-archive:nosuch"), "/nosuch does not exist; name an image archive that does"),
        (("pull", "docker-archive:nosuch"), "/nosuch does not exist; name an image archive that does"),
        (("ocm", "get", "./nosuch//a.example/b:1"), "./nosuch does not exist: check its name"),
        (("toi", "describe", "./nosuch//a.example/b:1"), "./nosuch does not exist: check its name"),
        (("toi", "bootstrap", "install", "./nosuch.tgz//a.example/b:1"), "./nosuch.tgz does not exist"),
        (("ocm", "get", "no.ctf//a.example/b:1"), "write ./no.ctf for a file or a directory"),
        (("environment", "--cloud", "nosuch"), "there is no cloud 'nosuch'; 'tweed-shim clouds' lists those"),
        (
            ("clouds", "forget", "nosuch", "shop"),
            "there is no cloud 'nosuch'; 'tweed-shim clouds' lists those",
        ),
        (
            ("spiff", "merge", "nosuch"),
            "nosuch cannot be read: it does not exist; name another file, or - for",
        ),
        (
            ("spiff", "merge", "layout"),
            "layout cannot be read: it is a directory; name another file, or - for",
        ),
    ],
)
@pytest.mark.usefixtures("directory")
def test_a_name_of_nothing_is_refused_with_what_to_write(
    words: tuple[str, ...], part: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = os.path.join(tmp_path, "store")
    assert part in refusal(capfd, "--root", root, *words)

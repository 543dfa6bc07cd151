"""Subordinate ids of another service than /etc/subuid."""

from pathlib import Path

import pytest

from tweed_shim.host import subids, userns


@pytest.mark.parametrize(
    ("text", "service"),
    [
        ("", "files"),
        ("passwd: files sss\n", "files"),
        ("subid: files\n", "files"),
        ("subid:\n", "files"),
        ("# subid: sss\n", "files"),
        ("passwd: files\nsubid:    sss # the directory\n", "sss"),
    ],
)
def test_the_first_service_of_nsswitch_decides(tmp_path: Path, text: str, service: str) -> None:
    path = tmp_path / "nsswitch.conf"
    assert subids.service(str(path)) == "files"
    path.write_text(text)
    assert subids.service(str(path)) == service


@pytest.fixture
def getsubids(tmp_path: Path) -> Path:
    program = tmp_path / "getsubids"
    program.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        'anna) echo "0: anna 100000 65536"; echo "1: anna 300000 5";;\n'
        '"-g anna") echo "0: anna 200000 65536";;\n'
        'odd) echo "0: odd x 1"; echo; echo -1;;\n'
        "*) echo Error fetching ranges >&2; exit 1;;\n"
        "esac\n"
    )
    program.chmod(0o755)
    return program


def test_getsubids_is_asked(getsubids: Path) -> None:
    program = str(getsubids)
    assert subids.ask(program, "anna", groups=False) == [(100000, 65536), (300000, 5)]
    assert subids.ask(program, "anna", groups=True) == [(200000, 65536)]
    for user in ("odd", "nobody"):
        assert subids.ask(program, user, groups=False) == []
    assert subids.ask("/nonexistent", "anna", groups=False) == []


def test_a_user_has_the_ids_of_the_service_that_decides(
    getsubids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tmp_path / "subuid"
    files.write_text("anna:500000:10\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert userns._subordinate(str(files), "anna", 7) == [(500000, 10)]
    monkeypatch.setattr(subids, "service", lambda: "sss")
    assert userns._subordinate(str(files), "anna", 7) == [(100000, 65536), (300000, 5)]
    assert userns._subordinate("/etc/subgid", "anna", 7) == [(200000, 65536)]

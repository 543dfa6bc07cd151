"""The manual pages: they are up to date, in the wheel, and read by mandoc and man."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from installed import PROJECT
from tweed_shim.cli import declarations, manual
from tweed_shim.cli.commands import COMMANDS
from tweed_shim.cli.declarations import Declarations

PAGES = dict(manual.pages())
# What reads a page; man comes with most systems, and not with Debian's containers.
READERS = {
    "mandoc": ["mandoc", "-Tutf8", "-Owidth=100"],
    **({"man": ["man", "--local-file"]} if shutil.which("man") else {}),
}


def shown(reader: str, page: Path) -> str:
    """The text of a page, without its bold and underlined letters."""
    env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "MANWIDTH": "100", "MANPAGER": "cat"}
    done = subprocess.run([*READERS[reader], page], env=env, capture_output=True, check=True)
    assert done.stderr == b""
    text = done.stdout.decode()
    while "\b" in text:
        before, _, text_after = text.partition("\b")
        text = before[:-1] + text_after
    return text


def test_the_pages_are_those_of_the_commands_as_they_are() -> None:
    written = {path.name: path.read_text() for path in Path(PROJECT, "man").iterdir()}
    assert written == PAGES, "the commands have changed: run scripts/manual"


def test_every_command_has_a_page_and_every_group() -> None:
    words = [*declarations.all_commands(), (), *((name,) for name in COMMANDS)]
    assert {manual.file_name(each) for each in words} == set(PAGES)


def test_the_wheel_installs_the_pages_where_man_looks(program: str) -> None:
    directory = Path(program).parent.parent / "share/man/man1"
    assert {path.name: path.read_text() for path in directory.iterdir()} == PAGES


@pytest.mark.parametrize("name", sorted(PAGES))
def test_mandoc_finds_no_fault_in_a_page(name: str) -> None:
    done = subprocess.run(
        ["mandoc", "-Tlint", "-Wwarning", f"{PROJECT}/man/{name}"],
        capture_output=True,
        text=True,
        check=False,
    )
    # A date would be that of the commit.
    faults = [line for line in done.stdout.splitlines() if "missing date" not in line]
    assert faults == []


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "words", [("exec",), ("instances",), ("ocm", "transfer"), ("spiff", "merge")], ids=" ".join
)
def test_a_page_shows_every_option_and_how_the_command_is_written(
    reader: str, words: tuple[str, ...]
) -> None:
    text = shown(reader, Path(PROJECT, "man", manual.file_name(words)))
    declared = declarations.of_command(words)
    for option in declared.options:
        assert all(name in text for name in option.names)
    assert all(f"tweed-shim {form}" in text for form in declared.synopses)
    for section in ("NAME", "SYNOPSIS", "OPTIONS", "GLOBAL OPTIONS", "EXIT STATUS", "EXAMPLES", "SEE ALSO"):
        assert f"\n{section}\n" in text


@pytest.mark.parametrize("reader", READERS)
def test_no_text_of_a_command_is_read_as_roff(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = [".SH here", "'so /etc/passwd", "a\\fBb \\n", "-x --yy `z` 'q' \"d\" ~ ^", "%d $HOME {a|b} é"]
    declared = Declarations("tweed-shim gc", "collects.")
    for number, text in enumerate(odd):
        declared.add_argument(f"--{number}", metavar=".V", help=text)
    monkeypatch.setattr(declarations, "of_command", lambda _: declared)
    page = tmp_path / "page.1"
    page.write_text(manual._command_page(("gc",)))
    text = shown(reader, page)
    for number, line in enumerate(odd):
        assert f"--{number} .V" in text
        assert line in " ".join(text.split())

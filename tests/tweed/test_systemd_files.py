"""The format systemd: systemd's own parser reads back what was printed, and what it refuses is refused."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tweed_shim.errors import RefusedFormat
from tweed_shim.tweed import environment

Reader = Callable[[str], dict[str, str]]

NUL_AND_REFUSED = "\0\ufeff\ufffe\uffff"
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True)
values = st.text(
    st.characters(codec="utf-8", exclude_characters=NUL_AND_REFUSED, max_codepoint=0xFDCF), max_size=40
) | st.text("'\"\\$`\n\r\t #;=!{}nx%é😀", max_size=12)
ODD = {
    "BLANKS": "  both ends \t",
    "QUOTED": '"it\'s"',
    "COMMENT": "; x # no comment",
    "EMPTY": "",
    "DOLLAR": "$HOME ${HOME} $(id) `id` \\n %h",
    "LINES": "one\n  two\\\n\n# three\r\nNAME=4\n",
}


def documented(text: str) -> dict[str, str]:
    """EnvironmentFile= in systemd.exec(5): double-quoted values, with the escapes of a POSIX shell within them."""
    found, rest = {}, text
    while rest:
        name, equals, rest = rest.partition('="')
        assert equals
        value = ""
        while not rest.startswith('"'):
            character, rest = rest[0], rest[1:]
            if character == "\\":
                character, rest = rest[0], rest[1:]
                assert character in '"\\`$'
            value += character
        assert rest.startswith('"\n')
        found[name], rest = value, rest[2:]
    return found


def real_parser(directory: Path) -> Reader:
    """Read variables with systemd-tmpfiles, which reads ID in an os-release file with the same parser.

    It writes its value to a file, where a line of tmpfiles.d(5) has the specifier %o. The other variables stay.
    """
    (directory / "etc").mkdir()
    (directory / "line.conf").write_text("f+ /value - - - - %o\n")
    command = ["systemd-tmpfiles", f"--root={directory}", "--create", f"{directory}/line.conf"]

    def value(text: str) -> str:
        (directory / "etc/os-release").write_bytes(text.encode())
        subprocess.run(command, check=True, capture_output=True)
        return (directory / "value").read_bytes().decode()

    return lambda text: {name: value(text.replace(f"{name}=", "ID=", 1)) for name in ODD}


READERS: dict[str, Callable[[Path], Reader]] = {
    "the documented grammar": lambda _: documented,
    # systemd itself is compared with its grammar where it is installed, as on every host that runs it.
    **({"systemd": real_parser} if shutil.which("systemd-tmpfiles") else {}),
}


def render(variables: dict[str, str]) -> str:
    return environment.render(variables, "systemd", allow=variables)


@given(st.dictionaries(names, values, max_size=6))
@example({"A": "\\", "B": '"', "C": "\\\n", "D": "$"})
def test_the_documented_grammar_reads_back_what_is_printed(variables: dict[str, str]) -> None:
    assert documented(render(variables)) == variables


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_takes_the_very_values(reader: str, tmp_path: Path) -> None:
    assert READERS[reader](tmp_path)(render(ODD)) == ODD


@pytest.mark.parametrize(
    "character", ["\ufeff", "\ufdd0", "\ufdef", "\ufffe", "\uffff", "\U0001fffe", "\U0010ffff"]
)
def test_a_character_that_systemd_refuses_is_refused(character: str) -> None:
    with pytest.raises(RefusedFormat) as caught:
        render({"A": "x", "B": f"hunter2{character}"})
    assert str(caught.value) == (
        f"the environment that the image printed sets B (holds U+{ord(character):04X}), and the format systemd holds "
        "only text of less than 128 KiB without U+FEFF and noncharacters: use the format yaml or json"
    )


def test_the_longest_variable_is_one_that_linux_passes_to_a_program() -> None:
    longest = "x" * ((128 << 10) - len("LONG=\0"))
    subprocess.run(["/bin/true"], env={"LONG": longest}, check=True)
    render({"LONG": longest})
    with pytest.raises(OSError, match="Argument list too long"):
        subprocess.run(["/bin/true"], env={"LONG": f"{longest}x"}, check=True)
    with pytest.raises(RefusedFormat, match=r"LONG \(is too long\)"):
        render({"LONG": f"{longest}x"})

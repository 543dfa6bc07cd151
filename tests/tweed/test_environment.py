"""The environment that setup prints: what is parsed, what is refused, and that all formats agree."""

import json
import re
import subprocess

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tweed_shim.errors import ContractError, UsageError
from tweed_shim.tweed import environment

# Each with the format that is for it.
SHELLS = [
    (["dash", "-c"], "shell"),
    (["busybox", "sh", "-c"], "shell"),
    (["zsh", "-f", "-c"], "shell"),
    (["fish", "--no-config", "-c"], "fish"),
]
EVALUATE = {
    "shell": 'eval "$EXPORTS"; unset EXPORTS; ',
    "fish": "printf %s $EXPORTS | source; set -e EXPORTS; ",
}

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True) | st.sampled_from(
    ["y", "NO", "On", "null", "TRUE", "_"]
)
values = (
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
    | st.text("'\"\\$`\n\r\t #=!{}nx", max_size=12)
    | st.sampled_from(
        ["yes", "0123", "0o17", "1e3", "~", "", "null", "2020-01-01", "\x85", "\u2028", "\ufeff", "\x1b"]
    )
)
environments = st.dictionaries(names, values, max_size=6)


def read(text: str | bytes) -> dict[str, str]:
    return environment.parse(text.encode() if isinstance(text, str) else text, image="redis:1")


def fault(text: str | bytes) -> str:
    with pytest.raises(ContractError) as caught:
        read(text)
    message = str(caught.value)
    assert "redis:1" in message
    assert "\n" not in message
    return message


def test_every_value_is_the_text_that_was_written() -> None:
    text = """
    # a comment
    PORT: 0123
    TLS: yes
    RATIO: 1.10
    NOTHING:
    TILDE: ~
    NULL_: null
    DATE: 2020-01-01
    SINGLE: 'it''s'
    DOUBLE: "a\\tb\\u00e9\\n"
    TAGGED: !!str 007
    ANCHORED: &a x y
    SAME: *a
    BLOCK: |
      one
       two
    FOLDED: >-
      one
      two
    URL: redis://u:p@host:6379/0#x
    """
    assert read(text) == {
        "PORT": "0123",
        "TLS": "yes",
        "RATIO": "1.10",
        "NOTHING": "",
        "TILDE": "~",
        "NULL_": "null",
        "DATE": "2020-01-01",
        "SINGLE": "it's",
        "DOUBLE": "a\tb\u00e9\n",
        "TAGGED": "007",
        "ANCHORED": "x y",
        "SAME": "x y",
        "BLOCK": "one\n two\n",
        "FOLDED": "one two",
        "URL": "redis://u:p@host:6379/0#x",
    }


def test_json_is_read_too_and_keeps_numbers_as_written() -> None:
    assert read('{"A": "\\ud83d\\ude00", "B": 1.10, "C": true, "D": null}') == {
        "A": "\U0001f600",
        "B": "1.10",
        "C": "true",
        "D": "null",
    }


@pytest.mark.parametrize("text", ["", "---\n", "# nothing\n", "{}\n"])
def test_empty_output_is_an_empty_environment(text: str) -> None:
    assert read(text) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A: x\nB: [1]\n", "B (line 2) is a list"),
        ("A:\n  B: x\n", "A (line 1) is a map"),
        ("A: x\nB: y\nA: z\n", "line 3: the key A is there twice (first on line 1)"),
        ("A: x\n1A: y\n", "1A (line 2) is not the name of a variable"),
        ("A-B: x\n", "A-B (line 1) is not the name of a variable"),
        ("'A=B': x\n", '["A=B"] (line 1) is not the name of a variable'),
        ("'': x\n", '[""] (line 1) is not the name of a variable'),
        ('"A\\0": x\n', '["A\\u0000"] (line 1) is not the name of a variable'),
        ("<<: x\n", '["<<"] (line 1) is not the name'),
        ("\u00c4: x\n", "(line 1) is not the name"),
        ("A" * 1001 + ": x\n", "(line 1) is not the name"),
        ('A: "x\\0y"\n', "A (line 1) holds NUL"),
        ("- A\n", "one YAML map"),
        ("Connecting ...\n", "one YAML map"),
        ("A: b: c\n", "line 1, column 5: not YAML"),
        ("A: !secret x\n", "line 1: an unknown tag"),
        ("A: x\n---\nB: y\n", "line 2: a second document"),
        (b"A: \xff\n", "line 1, column 4: it is not UTF-8"),
        ("A: " + "x" * (4 << 20), "larger than 4 MiB"),
        ("A: &a [x]\nB: [*a]\n", "A (line 1) is a list, where only text can be; B (line 2) is a list"),
    ],
)
def test_an_environment_that_breaks_the_contract_is_reported_with_its_line(
    text: str | bytes, said: str
) -> None:
    assert said in fault(text)


def test_no_message_holds_a_value() -> None:
    for text in (
        'A: "hunter2\\0"',
        "A: [hunter2]",
        "A: {hunter2: 1}",
        "A: *hunter2",
        "A: 'hunter2",
        "hunter2",
    ):
        assert "hunter2" not in fault(text)


@given(st.text(max_size=100) | st.text("AB: \n-[]{}'\"&*!|>#\\", max_size=40))
def test_any_text_is_an_environment_or_a_broken_contract(text: str) -> None:
    try:
        found = environment.parse(text.encode("utf-8", "surrogatepass"), image="i")
    except ContractError:
        return
    assert all(re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) for name in found)
    assert all(isinstance(value, str) and "\0" not in value for value in found.values())


@given(environments)
def test_yaml_is_read_back_by_any_reader(variables: dict[str, str]) -> None:
    text = environment.render(variables, "yaml")
    assert read(text) == variables
    assert yaml.safe_load(text) == variables
    assert text.endswith("\n")


@given(environments)
def test_json_is_read_back(variables: dict[str, str]) -> None:
    text = environment.render(variables, "json")
    assert json.loads(text) == variables
    assert read(text) == variables


def read_dotenv(text: str) -> dict[str, str]:
    """A dotenv file, read by the rules that python-dotenv has, without its expansion of `${NAME}`."""
    assignment = re.compile(r"""([A-Za-z0-9_]+)=(?:'([^']*)'|"((?:\\.|[^"\\])*)"|([^\s'"#]*))\n""")
    found = {}
    end = 0
    while end < len(text):
        match = assignment.match(text, end)
        assert match is not None, text[end:]
        name, verbatim, escaped, bare = match.groups()
        if escaped is not None:
            assert "\n" not in escaped
            bare = re.sub(r"\\(.)", lambda each: {"n": "\n", "r": "\r"}.get(each[1], each[1]), escaped)
        found[name] = verbatim if verbatim is not None else bare
        end = match.end()
    return found


@given(environments)
def test_dotenv_is_read_back(variables: dict[str, str]) -> None:
    # Names that steer something are a matter of test_steering.py.
    assert read_dotenv(environment.render(variables, "dotenv", allow=variables)) == variables


plain_lines = st.from_regex(
    r"""[A-Za-z_][A-Za-z0-9_]{0,9}: ("[ !#-\[\]-~]*"|'[ -&(-~]*'|[A-Za-z0-9](:?[A-Za-z0-9_./+@-])*)""",
    fullmatch=True,
)


@settings(max_examples=300)
@given(lines=st.lists(plain_lines, min_size=1, max_size=5, unique_by=lambda line: line.partition(":")[0]))
def test_plain_lines_mean_what_yaml_makes_of_them(lines: list[str]) -> None:
    text = "\n".join(lines).encode()
    for data in (text, text + b"\n"):
        plain = environment._parse_plain(data)
        assert plain is not None
        assert plain == environment._parse_yaml(data, image="i")


@given(st.lists(st.sampled_from([*"A1_: \"'\\\n#-.é\t", ": ", "yes", "\nB: "]), max_size=12).map("".join))
def test_no_line_is_plain_that_yaml_reads_otherwise(text: str) -> None:
    plain = environment._parse_plain(f"A: {text}".encode())
    assert plain is None or plain == environment._parse_yaml(f"A: {text}".encode(), image="i")


@pytest.mark.parametrize(
    "text",
    [
        'A: "\\n"',
        "A: b #c",
        "A: b: c",
        "A: b:",
        "A: é",
        "A:b",
        "A: b\nA: c",
        "A: 'b''c'",
        "A:\n",
        "A: b\n\nB: c",
        "A: b\r\n",
        "",
    ],
)
def test_lines_that_need_yaml_are_left_to_it(text: str) -> None:
    assert environment._parse_plain(text.encode()) is None


def test_dotenv_quotes_no_more_than_is_needed() -> None:
    variables = {"A": "redis://h:6379/0", "B": "", "C": 'a "b" $c #d', "D": 'it\'s\na \\ "$x"'}
    assert environment.render(variables, "dotenv") == (
        'A=redis://h:6379/0\nB=\nC=\'a "b" $c #d\'\nD="it\'s\\na \\\\ \\"$x\\""\n'
    )


@pytest.mark.parametrize(("shell", "kind"), SHELLS)
@settings(max_examples=40, deadline=None)
@given(variables=environments)
@example(variables={"A": "\\", "B": "' ; echo ran; '", "C": "\\'; echo ran; \\'", "D": "a\\nb\n\\\\'"})
def test_a_real_shell_sets_the_very_values(shell: list[str], kind: str, variables: dict[str, str]) -> None:
    # A prefix, because shells keep some names to themselves and set others of their own accord.
    prefixed = {f"T_{name}": value for name, value in variables.items()}
    done = subprocess.run(
        [*shell, f"{EVALUATE[kind]}exec env -0"],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "EXPORTS": environment.render(prefixed, kind)},
        capture_output=True,
        check=True,
    )
    pairs = (entry.partition("=") for entry in done.stdout.decode().split("\0") if entry)
    assert {name: value for name, _, value in pairs if name.startswith("T_")} == prefixed


@pytest.mark.parametrize(("shell", "kind"), SHELLS)
@pytest.mark.parametrize("first", ["", "\\", "\\\\", "a\\"])
def test_a_value_cannot_run_anything(shell: list[str], kind: str, first: str) -> None:
    texts = [
        "'; echo ran; '",
        "$(echo ran)",
        "(echo ran)",
        "`echo ran`",
        "x\necho ran",
        "; echo ran #",
        "\\'; echo ran",
    ]
    hostile = {f"A{number}": f"{first}{text}" for number, text in enumerate(texts)}
    environ = {"PATH": "/usr/bin:/bin", "EXPORTS": environment.render({"FIRST": first, **hostile}, kind)}
    done = subprocess.run([*shell, EVALUATE[kind]], env=environ, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="yaml, json, dotenv, shell, fish"):
        environment.render({}, "xml")


@pytest.mark.parametrize("kind", ["yaml", "json"])
@pytest.mark.parametrize("letter", ["\x1b", "\x07", "\x9b", "\x85", "\u202e", "\u2066", "\u200f", "\u2028"])
def test_control_characters_are_escaped(kind: str, letter: str) -> None:
    value = {"A": f"a{letter}b\n{letter}"}
    text = environment.render(value, kind)
    assert letter not in text
    assert read(text) == value

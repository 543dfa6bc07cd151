"""The credentials that bind prints: what is parsed, what is refused, and that all formats agree."""

import json
import subprocess
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tweed_shim.data import documents
from tweed_shim.errors import ContractError, RefusedFormat, SteeringVariable, UsageError
from tweed_shim.tweed import credentials, environment

PURPOSES = {
    "env-file": "set in containers",
    "systemd": "set in services",
    "github": "set in the later steps of a job",
}
FLAT = [kind for kind in credentials.FORMATS if kind not in ("yaml", "json")]
# Texts that readers of YAML 1.1, of YAML 1.2, or shells take for something else where they stand without quotes.
ODD = [
    "yes", "y", "N", "On", "null", "~", "", "0123", "0o17", "0x1F", "1e3", "1_000", "12:30:45", "+1", ".5", ".inf",
    "2020-01-01", "<<", "=", "-", "- a", "a: b", "a #b", "#", "'", '"', "\\", "$HOME", "`id`", "a\nb", "a\r\nb\n",
    " a ", "\t", "\x85", "\u2028", "\ufeff", "\x1b[1m", "\u202e", "!x", "&a", "*a", "%a", "@a", "{", "[1]", "|",
    "? a", "---",
]  # fmt: skip
texts = (
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
    | st.text("a \n-:#'\"\t\\$`", max_size=10)
    | st.sampled_from(ODD)
)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
nested = st.dictionaries(
    texts,
    st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)
flat = st.dictionaries(st.from_regex("T_[A-Za-z0-9_]{0,8}", fullmatch=True), scalars, max_size=4)


def parse(text: str | bytes) -> dict[str, Any]:
    return credentials.parse(text.encode() if isinstance(text, str) else text, image="redis:1")


def fault(text: str | bytes) -> str:
    with pytest.raises(ContractError) as caught:
        parse(text)
    message = str(caught.value)
    assert "redis:1" in message
    assert "\n" not in message
    return message


def test_scalars_are_read_as_in_every_other_document() -> None:
    text = """
    host: db.example
    port: 5432
    tls: true
    ratio: 1.50
    nothing: ~
    version: 0123
    answer: yes
    8080: quoted
    nodes: &nodes [{name: a}, {name: 'b'}]
    again: *nodes
    certificate: |
      one
      two
    """
    assert parse(text) == {
        "host": "db.example",
        "port": 5432,
        "tls": True,
        "ratio": 1.5,
        "nothing": None,
        "version": "0123",
        "answer": "yes",
        "8080": "quoted",
        "nodes": [{"name": "a"}, {"name": "b"}],
        "again": [{"name": "a"}, {"name": "b"}],
        "certificate": "one\ntwo\n",
    }


def test_json_is_read_as_well_and_an_empty_map_is_a_map() -> None:
    assert parse('{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}
    assert parse("{}") == {}


@pytest.mark.parametrize("text", ["", "---\n", "# nothing\n", "null", "hunter2", "- a: hunter2", "[]", "5"])
def test_output_that_is_no_map_breaks_the_contract(text: str) -> None:
    assert fault(text) == (
        "bind of redis:1 printed no credentials: it has to print one YAML map of names to values, and all else on "
        "stderr"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: b: hunter2", "the credentials that bind of redis:1 printed, line 1, column 5: not YAML"),
        ("a: 'hunter2", "not YAML"),
        ("a: hunter2\na: hunter3\n", "line 2: the key a is there twice (first on line 1)"),
        ("a: {b: hunter2, b: hunter3}\n", "line 1: the key b is there twice"),
        ("a: hunter2\n---\nb: c\n", "line 2: a second document begins"),
        ("a: !hunter2 x", "line 1: an unknown tag"),
        ("a: *hunter2", "line 1: an alias without an anchor"),
        ("a: &a [*a]", "line 1: an alias stands for a value that contains the alias"),
        (b"a: \xff", "line 1, column 4: it is not UTF-8"),
        ("a: " + "x" * (4 << 20), "larger than 4 MiB"),
        ("a: " + "[" * 101 + "]" * 101, "nested more than 100 levels deep"),
        ("a: x\x00", "the character U+0000 is not allowed in YAML"),
        ('a:\n  b:\n  - "hunter2\\0"\n', "break the contract: a.b[0] (line 3) holds NUL"),
        ('a: {"b\\0": hunter2}\n', 'break the contract: a["b\\u0000"] (line 1) holds NUL'),
        ('{"a": "\\u0000", "b": ["\\u0000"]}', "a (line 1) holds NUL; b[0] (line 1) holds NUL"),
    ],
)
def test_output_that_breaks_the_contract_is_reported_with_its_line(text: str | bytes, said: str) -> None:
    message = fault(text)
    assert said in message
    assert "hunter" not in message


def test_an_alias_bomb_is_refused() -> None:
    levels = [f"x{level}: &x{level} [{', '.join([f'*x{level - 1}'] * 9)}]" for level in range(1, 12)]
    assert "more than 100,000 values" in fault("\n".join(["x0: &x0 [1]", *levels]))
    long = "x" * 100_000
    assert "more than 4 MiB where its aliases are expanded" in fault(
        f"a: &a {long}\nb: [{', '.join(['*a'] * 50)}]\n"
    )


@given(st.binary(max_size=100) | st.text("ab: \n-[]{}'\"&*!|>#\\0", max_size=40).map(str.encode))
def test_any_bytes_are_credentials_or_a_broken_contract(data: bytes) -> None:
    try:
        found = credentials.parse(data, image="i")
    except ContractError:
        return
    assert "\\u0000" not in json.dumps(found)


@given(nested)
def test_yaml_and_json_are_read_back_by_any_reader(value: dict[str, Any]) -> None:
    for kind in ("yaml", "json"):
        text = credentials.render(value, kind)
        assert text.endswith("\n")
        assert parse(text) == value
        assert documents.load(text, name="x").value == value
    assert json.loads(credentials.render(value, "json")) == value
    # PyYAML reads YAML 1.1.
    assert yaml.safe_load(credentials.render(value, "yaml")) == value


@pytest.mark.parametrize("text", ["y", "Y", "n", "N", "yes", "0o17", "1e3", "12:30"])
def test_text_that_some_reader_of_yaml_takes_for_more_is_quoted(text: str) -> None:
    assert credentials.render({text: text}, "yaml").replace("'", '"') == f'"{text}": "{text}"\n'


@pytest.mark.parametrize("kind", ["yaml", "json"])
@pytest.mark.parametrize("letter", ["\x1b", "\x07", "\x9b", "\x85", "\u202e", "\u2066", "\u200f", "\u2028"])
def test_control_characters_are_escaped(kind: str, letter: str) -> None:
    value = {f"a{letter}": [f"b{letter}\n{letter}"]}
    text = credentials.render(value, kind)
    assert letter not in text
    assert parse(text) == value


def as_text(value: Any) -> str:
    """What a flat format holds for a scalar."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value)


@given(flat)
def test_flat_formats_are_those_of_an_environment(value: dict[str, Any]) -> None:
    variables = {name: as_text(each) for name, each in value.items()}
    for kind in ("dotenv", "shell", "fish"):
        assert credentials.render(value, kind) == environment.render(variables, kind)


def test_scalars_become_text() -> None:
    value = {"A": True, "B": False, "C": None, "D": 10**20, "E": 1.5, "F": 1e100, "G": "yes", "H": ""}
    assert credentials.render(value, "env-file") == (
        "A=true\nB=false\nC=\nD=100000000000000000000\nE=1.5\nF=1e+100\nG=yes\nH=\n"
    )


@settings(max_examples=40, deadline=None)
@given(flat)
def test_a_real_shell_sets_the_very_values(value: dict[str, Any]) -> None:
    done = subprocess.run(
        ["bash", "--norc", "-c", 'eval "$EXPORTS"; unset EXPORTS; exec env -0'],
        env={
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "EXPORTS": credentials.render(value, "shell"),
        },
        capture_output=True,
        check=True,
    )
    pairs = (entry.partition("=") for entry in done.stdout.decode().split("\0") if entry)
    found = {name: value for name, _, value in pairs if name.startswith("T_")}
    assert found == {name: as_text(each) for name, each in value.items()}


@pytest.mark.parametrize("kind", FLAT)
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"A": "x", "nodes": [{"host": "hunter2"}]}, "nodes is a list"),
        ({"tls": {"key": "hunter2"}, "B": []}, "tls is a map, B is a list"),
        (
            {"db-host": "hunter2", "": "hunter2"},
            'db-host cannot name a variable, [""] cannot name a variable',
        ),
        ({"1A": 5, "é": 5, "A=B": 5}, "1A cannot name a variable"),
        ({"A\nB": "hunter2"}, '["A\\nB"] cannot name a variable'),
        (
            {name: ["hunter2"] for name in "abcdefg"},
            "a is a list, b is a list, c is a list, d is a list, e is a list and 2 more",
        ),
    ],
)
def test_a_flat_format_refuses_what_it_cannot_hold(kind: str, value: dict[str, Any], said: str) -> None:
    with pytest.raises(RefusedFormat) as caught:
        credentials.render(value, kind)
    message = str(caught.value)
    assert message.startswith(
        f"the format {kind} holds only text under names of variables, and in the credentials that the image printed "
        f"{said}"
    )
    assert message.endswith(": use the format yaml or json")
    assert "hunter2" not in message
    assert "\n" not in message


@pytest.mark.parametrize("kind", [kind for kind in FLAT if kind in environment.EVALUATED])
def test_a_variable_that_steers_a_shell_is_printed_only_if_it_is_allowed(kind: str) -> None:
    value = {"HOST": "h", "PATH": "hunter2"}
    with pytest.raises(SteeringVariable) as caught:
        credentials.render(value, kind)
    purpose = PURPOSES.get(kind, "evaluated")
    assert str(caught.value) == (
        f"the credentials that the image printed set PATH (steers shells), and the format {kind} is made to be "
        f"{purpose}: use the format yaml or json, or allow=['PATH'] if you mean it"
    )
    assert "hunter2" in credentials.render(value, kind, allow=["PATH"])


def test_an_env_file_refuses_a_value_of_several_lines() -> None:
    with pytest.raises(
        RefusedFormat, match=r"image printed set CERTIFICATE \(has a line break\), and the format env"
    ):
        credentials.render({"CERTIFICATE": "hunter2\n"}, "env-file")


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        credentials.render({}, "xml")
    assert str(caught.value) == (
        "credentials have no format 'xml': choose one of yaml, json, dotenv, shell, fish, env-file, systemd, "
        "github, github-output"
    )

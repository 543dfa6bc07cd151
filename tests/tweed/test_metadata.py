"""The metadata of an image: the contract's fields, every fault with its line, and printing it."""

import base64
import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tweed_shim.data import documents
from tweed_shim.errors import ContractError, UsageError
from tweed_shim.image.config import ImageConfig
from tweed_shim.image.store import Image
from tweed_shim.tweed import contract, metadata, metadata_cache

LEAST = "backend: tweed/v1\nname: Redis\nversion: 1.2.3\n"
PATTERN = "pattern: tweed/v1\nname: Redis\nversion: 1.2.3\n"


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = (b"\0" + b"\0" * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def parse(text: str | bytes) -> dict[str, Any]:
    return metadata.parse(text.encode() if isinstance(text, str) else text, image="redis:1")


def fault(text: str | bytes) -> str:
    with pytest.raises(ContractError) as caught:
        parse(text)
    message = str(caught.value)
    assert "redis:1" in message
    assert "\n" not in message
    return message


def unpacked(directory: Path) -> Image:
    return Image("redis:1", "sha256:0", "", str(directory), ImageConfig())


def test_the_contracts_own_example_is_read() -> None:
    icon = base64.encodebytes(png(128, 128)).decode().replace("\n", "\n    ")
    found = parse(f"""---
backend: tweed/v1       # version of the Tweed API contract
name:    Redis Cluster  # human-friendly backend name
version: 1.2.3          # version of this backend implementation

summary: A short summary of the backend and its purpose
description: |
  A longer, markdown-formatted description of this backend,
  what it does, how it is supposed to work, etc.

icon:
  base64: |
    {icon}
copyright: 2020 Some Company, Inc.
authors:
  - Author Name <author@e.mail>

inputs:
  persistent:
    type: boolean
    description:
      Make the Redis storage persistent, instead of ephemeral.
""")
    assert found["name"] == "Redis Cluster"
    assert found["authors"] == ["Author Name <author@e.mail>"]
    assert found["inputs"]["persistent"]["type"] == "boolean"
    assert json.loads(json.dumps(found)) == found


def test_text_that_looks_like_a_number_is_text_as_it_was_written() -> None:
    found = parse("backend: tweed/v1\nname: 389\nversion: 1.10\ncopyright: 2020\nsummary: true\n")
    assert found == {
        "backend": "tweed/v1",
        "name": "389",
        "version": "1.10",
        "copyright": "2020",
        "summary": "true",
    }


def test_json_is_read_as_well() -> None:
    assert parse('{"backend": "tweed/v1", "name": "x", "version": 2}')["version"] == "2"


def test_fields_of_a_later_contract_are_kept() -> None:
    assert parse(LEAST + "homepage: {url: x}\n")["homepage"] == {"url": "x"}


def test_optional_fields_may_be_left_empty() -> None:
    parse(LEAST + "summary:\ndescription: ~\nicon:\ncopyright:\nauthors:\ninputs:\n  # none yet\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "is no map of fields"),
        (b"hello", "is no map of fields"),
        (b"- a", "is no map of fields"),
        (b"a: b: c", "line 1, column 5: not YAML"),
        (b"a: \xff", "line 1, column 4: it is not UTF-8"),
        (b"x" * ((4 << 20) + 1), "larger than 4 MiB"),
        (
            "{}",
            "the document (line 1) says neither 'backend: tweed/v1' nor 'pattern: tweed/v1', and must say one of "
            "them; name (line 1) is required; version (line 1) is required",
        ),
        (
            LEAST + "pattern: tweed/v1\n",
            "pattern (line 4) stands beside 'backend', and an image is only one of the two",
        ),
        (LEAST.replace("v1", "v2"), 'backend (line 1) must be "tweed/v1"'),
        (PATTERN.replace("v1", "v2"), 'pattern (line 1) must be "tweed/v1"'),
        (PATTERN.replace("tweed/v1", ""), 'pattern (line 1) must be "tweed/v1"'),
        (PATTERN + "files: a.yml\n", "files (line 4) must be a list or nothing"),
        (PATTERN + "files:\n- a.yml\n", "files[0] (line 5) must be a map"),
        (PATTERN + "files:\n- summary: x\n", "files[0].filename (line 5) is required"),
        (PATTERN + "files:\n- filename:\n", "files[0].filename (line 5) must be text"),
        (PATTERN + "files:\n- filename: ''\n", "files[0].filename (line 5) must have 1 or more characters"),
        (
            PATTERN + "files:\n- filename: a\n  summary: [b]\n",
            "files[0].summary (line 6) must be text or nothing",
        ),
        (
            PATTERN + "files:\n- filename: a\n- filename: a\n",
            "files[1].filename (line 6) is the name of files[0] as well",
        ),
        ("backend: tweed/v1\nname:\nversion: [1]\n", "version (line 3) must be text"),
        ("backend: tweed/v1\nname: ''\nversion: 1\n", "name (line 2) must have 1 or more characters"),
        (LEAST + "authors: Me <me@e.mail>\n", "authors (line 4) must be a list or nothing"),
        (LEAST + "authors:\n- a\n- {b: c}\n", "authors[1] (line 6) must be text"),
        (LEAST + "summary: {a: b}\n", "summary (line 4) must be text or nothing"),
        (LEAST + "icon: x\n", "icon (line 4) must be a map or nothing"),
        (LEAST + "icon: {}\n", "icon.base64 (line 4) is required"),
        (LEAST + "icon:\n  base64: '%%'\n", "icon.base64 (line 5) is not base64"),
        (LEAST + "icon:\n  base64: aGVsbG8=\n", "icon.base64 (line 5) is not a PNG"),
        (LEAST + f"icon:\n  base64: {base64.b64encode(png(64, 32)).decode()}\n", "is 64x32 pixels"),
        (LEAST + f"icon:\n  base64: {'A' * (3 << 19)}\n", "icon.base64 (line 5) is larger than 1 MiB"),
        (LEAST + "inputs: [a]\n", "inputs (line 4) must be a map or nothing"),
        (LEAST + "inputs:\n  a: 5\n", "inputs.a (line 5) must be a map or true/false"),
        (
            LEAST + "inputs:\n  a:\n    type: strng\n",
            'inputs.a.type (line 6) must be one of "array", "boolean"',
        ),
        (LEAST + "inputs:\n  a:\n    minimum: x\n", "inputs.a.minimum (line 6) must be a number"),
        (LEAST + "inputs:\n  a:\n    pattern: '('\n", 'inputs.a.pattern (line 6) must be a valid "regex"'),
        (LEAST + "inputs:\n  a:\n    $ref: http://x/y\n", "inputs.a.$ref (line 6) must begin with #"),
        (
            LEAST + "inputs:\n  a:\n    items: {$ref: b.json}\n",
            "inputs.a.items.$ref (line 6) must begin with #",
        ),
        (LEAST + "inputs:\n  type: string\n", "inputs.type (line 5) must be object"),
        (LEAST + "inputs:\n  $schema: http://x/y\n", "inputs.$schema (line 5) is not a known dialect"),
        (
            LEAST + "inputs:\n  type: object\n  properties:\n    a: {type: x}\n",
            "inputs.properties.a.type (line 7) must be one of",
        ),
    ],
)
def test_each_fault_is_reported_with_its_path_and_line(text: str | bytes, said: str) -> None:
    assert said in fault(text)


@pytest.mark.parametrize(
    ("filename", "said"),
    [
        ("/etc/passwd", "must be relative to $OUTPUTS, and is absolute"),
        ("/", "must be relative to $OUTPUTS, and is absolute"),
        ("..", "must lie below $OUTPUTS, and has a component '..'"),
        ("../a", "must lie below $OUTPUTS, and has a component '..'"),
        ("a/../b", "must lie below $OUTPUTS, and has a component '..'"),
        ("a/..", "must lie below $OUTPUTS, and has a component '..'"),
        (".", "must be a plain path, and has a component that is empty or '.'"),
        ("./a", "must be a plain path, and has a component that is empty or '.'"),
        ("a//b", "must be a plain path, and has a component that is empty or '.'"),
        ("a/", "must be a plain path, and has a component that is empty or '.'"),
        ("a\\0b", "holds NUL, which no name of a file can"),
    ],
)
def test_a_file_of_a_pattern_lies_below_its_outputs(filename: str, said: str) -> None:
    message = fault(f'{PATTERN}files:\n- filename: "{filename}"\n')
    assert message.endswith(f": files[0].filename (line 5) {said}")


@pytest.mark.parametrize(
    "filename", ["a", "a.yml", "a/b/c.yml", "...", "..a", ".a", "a..", "a b", "-", "C:\\\\x", "é"]
)
def test_a_file_may_have_any_plain_path(filename: str) -> None:
    assert parse(f'{PATTERN}files:\n- filename: "{filename}"\n')["files"][0]["filename"] == filename.replace(
        "\\\\", "\\"
    )


@given(st.text("./a\0", max_size=8) | st.text(max_size=8))
def test_an_accepted_file_is_where_its_name_says(filename: str) -> None:
    try:
        parse(f"{PATTERN}files: [{{filename: {json.dumps(filename)}}}]\n")
    except ContractError:
        return
    assert os.path.normpath(f"/outputs/{filename}") == f"/outputs/{filename}" != "/outputs/"
    assert "\0" not in filename


def test_the_files_of_a_pattern_are_read_and_their_texts_are_as_written() -> None:
    found = parse(f"""{PATTERN}files:
- filename: cluster.yml
  summary: &text 1.10
- filename: 0
  summary: *text
  description: true
  mode: 420
- {{filename: nested/b, summary: ~, description: }}
""")
    assert contract.kind(found) == "pattern"
    assert found["files"] == [
        {"filename": "cluster.yml", "summary": "1.10"},
        {"filename": "0", "summary": "1.10", "description": "true", "mode": 420},
        {"filename": "nested/b", "summary": None, "description": None},
    ]


@pytest.mark.parametrize("files", ["files: []\n", "files:\n", ""])
def test_a_pattern_may_leave_no_files(files: str) -> None:
    assert contract.kind(parse(PATTERN + files)) == "pattern"


def test_the_files_of_a_backend_are_a_field_that_is_not_known() -> None:
    found = parse(LEAST + "files: [{filename: /etc, summary: 1.10}, 5]\n")
    assert contract.kind(found) == "backend"
    assert found["files"] == [{"filename": "/etc", "summary": 1.1}, 5]


def test_the_inputs_of_a_pattern_are_checked_as_those_of_a_backend() -> None:
    assert "inputs.a.type (line 6) must be one of" in fault(PATTERN + "inputs:\n  a:\n    type: strng\n")
    assert parse(PATTERN + "inputs: {a: {type: string}}\n")["inputs"] == {"a": {"type": "string"}}


@pytest.mark.parametrize("text", [LEAST, PATTERN])
def test_a_cache_holds_the_metadata_of_both_kinds(text: str, tmp_path: Path) -> None:
    image = unpacked(tmp_path)
    asked = []

    def ask() -> dict[str, Any]:
        asked.append(text)
        return parse(text)

    for _ in range(2):
        assert metadata_cache.obtain(str(tmp_path), image, ask, waiting=pytest.fail) == parse(text)
    assert asked == [text]


@pytest.mark.parametrize("kept", [{}, {"backend": "tweed/v1", "pattern": "tweed/v1"}])
def test_a_cache_of_neither_kind_is_asked_for_again(kept: dict[str, str], tmp_path: Path) -> None:
    image = unpacked(tmp_path)
    (tmp_path / metadata_cache.FILE).write_text(json.dumps({"name": "n", "version": "v", **kept}))
    found = metadata_cache.obtain(str(tmp_path), image, lambda: parse(PATTERN), waiting=pytest.fail)
    assert found == parse(PATTERN)


def test_all_faults_are_reported_at_once() -> None:
    files = "files: [{filename: /a}, {}, {filename: b, summary: []}]"
    message = fault(f"pattern: x\nauthors: 5\nicon: {{base64: aa}}\ninputs: {{a: {{type: 5}}}}\n{files}\n")
    in_files = ("files[0].filename", "files[1].filename", "files[2].summary")
    for path in ("pattern", "name", "version", "authors", "icon.base64", "inputs.a.type", *in_files):
        assert f"{path} (line " in message


def test_a_thousand_faults_are_counted() -> None:
    message = fault(LEAST + "authors: [" + "{}," * 1000 + "]")
    assert message.endswith("; and 980 more")


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: !!python/name:os.system ''", "&a a: &b b\n*a : 1"])
def test_recursive_aliases_python_tags_and_alias_keys_are_refused(text: str) -> None:
    fault(text)


def test_an_alias_bomb_is_refused() -> None:
    levels = [f"x{level}: &x{level} [{', '.join([f'*x{level - 1}'] * 9)}]" for level in range(1, 12)]
    assert "more than 100,000 values" in fault("\n".join(["x0: &x0 [1]", *levels]))


@pytest.mark.parametrize(
    "inputs",
    [
        "{port: {type: integer, default: 6379}, type: {type: string}}",
        "{properties: {type: object, properties: {a: {type: string}}}}",
        "{type: object, properties: {a: {$ref: '#/$defs/b'}}, $defs: {b: {type: string}}}",
        "{$schema: 'http://json-schema.org/draft-07/schema#', properties: {a: true}}",
        "{a: true, b: {}, $ref: {type: string}}",
        "{}",
    ],
)
def test_both_forms_of_inputs_are_accepted(inputs: str) -> None:
    parse(f"{LEAST}inputs: {inputs}\n")


@given(st.binary(max_size=200) | st.text("abn:{}[]-\n &*!'\"#", max_size=60).map(str.encode))
def test_any_bytes_are_metadata_or_a_broken_contract(data: bytes) -> None:
    for text in (data, LEAST.encode() + b"inputs: " + data):
        try:
            json.dumps(metadata.parse(text, image="i"))
        except ContractError:
            continue


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20)
    | st.text("a \n-:#'\"\t", max_size=10)
    | st.sampled_from(
        ["yes", "0123", "0o17", "1e3", "1_0", "~", "", "2020-01-01", "\x85", "<<", "=", "a\n\n b \n"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=4))
def test_printed_metadata_is_read_back(value: dict[str, Any]) -> None:
    for kind in metadata.FORMATS:
        text = metadata.render(value, kind)
        assert text.endswith("\n")
        assert documents.load(text, name="x").value == value
    assert yaml.safe_load(metadata.render(value, "yaml")) == value


def test_the_yaml_is_for_people() -> None:
    value = {"version": "1.10", "name": "x", "description": "One.\nTwo.\n", "authors": ["a"]}
    assert metadata.render(value, "yaml") == (
        'version: "1.10"\nname: x\ndescription: |\n  One.\n  Two.\nauthors:\n- a\n'
    )


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="yaml, json"):
        metadata.render({}, "dotenv")


@pytest.mark.parametrize("kind", ["yaml", "json"])
@pytest.mark.parametrize("letter", ["\x1b", "\x07", "\x9b", "\x85", "\u202e", "\u2066", "\u200f", "\u2028"])
def test_control_characters_are_escaped(kind: str, letter: str) -> None:
    value = {
        "backend": "tweed/v1",
        "name": f"a{letter}b",
        "version": "v",
        "more": {f"x{letter}": [f"a\n{letter}\nb"]},
    }
    text = metadata.render(value, kind)
    assert letter not in text
    assert documents.load(text.encode(), name="it", error=ContractError).value == value

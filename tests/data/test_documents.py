"""Documents of strangers: what YAML and JSON mean, what is refused, and the limits."""

import json
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tweed_shim.data import document_paths, documents
from tweed_shim.errors import ConfigError, ContractError


@pytest.fixture(params=["libyaml", "python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Use both parsers of PyYAML: libyaml's, and the one in Python that a PyYAML without libyaml has."""
    if request.param == "python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    elif not yaml.__with_libyaml__:
        pytest.skip("PyYAML was built without libyaml")
    return str(request.param)


def read(text: bytes | str) -> Any:
    return documents.load(text, name="doc").value


def fault(text: bytes | str, **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        documents.load(text, name="doc", **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", None), ("~", None), ("null", None), ("Null", None),
        ("true", True), ("False", False),
        ("yes", "yes"), ("no", "no"), ("On", "On"), ("off", "off"), ("y", "y"),
        ("0", 0), ("-12", -12), ("+7", 7), ("0123", "0123"), ("1_000", "1_000"),
        ("0x1F", "0x1F"), ("0o17", "0o17"),
        ("12:30:00", "12:30:00"), ("2020-01-01", "2020-01-01"),
        ("1.5", 1.5), ("1e3", 1000.0), ("-.5", -0.5), ("3.", 3.0), (".inf", ".inf"), (".nan", ".nan"),
        ('"1"', "1"), ("'true'", "true"), ("!!str 1", "1"), ("! 1", "1"), ("|-\n  1", "1"),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("1e999", "1e999"), ("496e2714", "496e2714"), ("9" * 5000, "9" * 5000),
    ],
)  # fmt: skip
def test_only_unambiguous_plain_scalars_are_more_than_text(parser: str, written: str, meant: Any) -> None:
    value = read(f"a: {written}\n")["a"]
    assert value == meant
    assert type(value) is type(meant)


@pytest.mark.parametrize(
    "written", ["", "~", "null", "yes", "0123", "1.10", "1_000", "2020-01-01", "true", "1e999"]
)
def test_with_as_text_every_scalar_is_the_text_that_was_written(parser: str, written: str) -> None:
    document = documents.load(f"a: {written}\nb: [{written or '~'}]", name="doc", as_text=True)
    assert document.value == {"a": written, "b": [written or "~"]}


def test_keys_are_the_text_that_was_written(parser: str) -> None:
    assert read("8080: a\ntrue: b\n~: c\n1.10: d\n<<: e\n") == {
        "8080": "a", "true": "b", "~": "c", "1.10": "d", "<<": "e",
    }  # fmt: skip


@pytest.mark.parametrize("text", [b"", b"# nothing here\n", b"---\n", b"\xef\xbb\xbf"])
def test_an_empty_document_is_none(parser: str, text: bytes) -> None:
    assert read(text) is None


def test_every_value_has_its_line_and_its_text(parser: str) -> None:
    document = documents.load("# top\na: 1.10\nb:\n  - x\n  - c: &c {d: 1}\n  - *c\n", name="doc")
    assert document.value == {"a": 1.1, "b": ["x", {"c": {"d": 1}}, {"d": 1}]}
    assert document.text(["a"]) == "1.10"
    assert document.text(["b"]) is None
    paths: list[list[str | int]] = [[], ["a"], ["b"], ["b", 1], ["b", 1, "c", "d"], ["b", 2]]
    assert [document.line(path) for path in paths] == [2, 2, 3, 5, 5, 6]
    assert document.line(["b", 1, "missing", "deeper"]) == 5
    assert document.location(["b", 1, "c"]) == "b[1].c (line 5)"


def test_values_of_json_have_lines() -> None:
    document = documents.load('{\n "a": "x\\n[,",\n "b": [1,\n  -2.50]\n}', name="doc", json_only=True)
    assert document.value == {"a": "x\n[,", "b": [1, -2.5]}
    assert (document.line(["a"]), document.line(["b"]), document.line(["b", 1])) == (2, 3, 4)
    assert document.text(["b", 1]) == "-2.50"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ([], "the document"),
        (["a", 0, "b-c"], "a[0].b-c"),
        (["a", "b c"], 'a["b c"]'),
        (["\x1b[31m"], '["\\u001b[31m"]'),
        (["x" * 100], '["' + "x" * 60 + '..."]'),
    ],
)
def test_a_path_is_quoted_and_cut_for_messages(path: list[str | int], name: str) -> None:
    assert document_paths.path_name(path) == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a: 1\nb: 2\na: 3\n", "line 3: the key a is there twice (first on line 1)"),
        (b'1: a\n"1": b\n', "line 2: the key 1 is there twice"),
        (b"a: 1\n--- \nb: 2\n", "line 2: a second document begins: leave one"),
        (b"ok: 1\nb: \xff\n", "line 2, column 4: it is not UTF-8"),
        (b"\xff\xfea\x00", "line 1, column 1: it is not UTF-8"),
        (b"a: 1\nb: x\x1b[0m\n", "line 2, column 5: the character U+001B"),
        (b"a:\n\tb: 1\n", "a tab cannot indent"),
        (b"a: b: c\n", "line 1, column 5: not YAML: "),
        (b"a: 'x\n", "not YAML: "),
        (b"a: [1, 2\n", "not YAML: "),
        (b"a: @x\n", "line 1, column 4: not YAML: "),
        (b"? [1]\n: x\n", "line 1: a map or a list cannot be a key"),
        (b"- &k [1]\n- {*k : x}\n", "line 2: a map or a list cannot be a key"),
        (b"a: !!python/object/apply:os.system [id]\n", "line 1: an unknown tag"),
        (b"a: !!binary aGk=\n", "line 1: an unknown tag"),
        (b"a: !!int '1'\n", "line 1: an unknown tag"),
        (b"a: !!map [1]\n", "line 1: an unknown tag"),
        (b"a: &a [*a]\n", "line 1: an alias stands for a value that contains the alias"),
        (b"a: *b\n", "line 1: an alias without an anchor"),
        (b"%YAML 7.0\n---\na: 1\n", "not YAML"),
    ],
)
def test_malformed_yaml_is_refused_in_one_sentence(parser: str, text: bytes, expected: str) -> None:
    message = fault(text)
    assert expected in message
    assert message.startswith("doc")
    assert "\n" not in message


@pytest.mark.parametrize("escape", [r"\ud800", r"\UFFFFFFFF", r"\q"])
def test_an_escape_that_stands_for_no_character_is_refused(parser: str, escape: str) -> None:
    assert fault(f'a: "{escape}"').startswith("doc")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1, "a": 2}', "line 1: the key a is there twice"),
        ('{"a": NaN}', "doc holds NaN"),
        ('[-Infinity]', "doc holds -Infinity"),
        ('{"a": 1e400}', "line 1: the number is too large"),
        ('[' + "9" * 5000 + "]", "line 1: the number is too large"),
        ('["\\ud800"]', "line 1: an escape stands for half a character"),
        ('{"a": 1,}', "is not JSON: line 1, column "),
        ('{"a": 1} x', "is not JSON: line 1, column 10: extra data"),
        ('{"a": "x\ny"}', "is not JSON: line 1, column 9: invalid control character"),
        ("{a: 1}", "is not JSON: line 1, column 2: "),
        ("", "is not JSON: line 1, column 1: "),
    ],
)  # fmt: skip
def test_malformed_json_is_refused_in_one_sentence(text: str, expected: str) -> None:
    message = fault(text, json_only=True)
    assert expected in message
    assert "\n" not in message


def test_a_text_that_begins_like_json_is_read_as_json_or_yaml() -> None:
    assert read('{"a": "\\ud83d\\ude00",\n\t"b": "\\/"}') == {"a": "\U0001f600", "b": "/"}
    assert read("{a: b}") == {"a": "b"}
    assert read("[a, {b: 'c'},]") == ["a", {"b": "c"}]
    message = fault('{"a": 1')
    assert "is not JSON (line 1, column 8" in message
    assert "as YAML it is refused too" in message


def bomb(levels: int) -> str:
    lines = [f"- &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, levels)]
    return "\n".join(["- &a0 [x, x, x, x, x, x, x, x, x, x]", *lines])


def test_aliases_count_as_what_they_stand_for(parser: str) -> None:
    assert len(read(bomb(3))) == 3
    assert "more than 100,000 values" in fault(bomb(9))
    assert "4 MiB where its aliases are expanded" in fault(f"a: &a {'x' * 10_000}\nb: [{'*a, ' * 1000}]")
    chain = "- &a0 [x]\n" + "".join(f"- &a{number} [*a{number - 1}]\n" for number in range(1, 200))
    assert "nested more than 100 levels" in fault(chain)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"[" * 100 + b"]" * 100, None),
        (b"[" * 101 + b"]" * 101, "nested more than 100 levels"),
        (b"[" * 500_000, "nested more than 100 levels"),
        (b'{"a":' * 500_000, "nested more than 100 levels"),
        (b"- " * 5_000 + b"x", "nested more than 100 levels"),
        (b"[" + b"0," * 99_998 + b"0]", None),
        (b"[" + b"0," * 99_999 + b"0]", "more than 100,000 values"),
        (b"a: " + b"x" * (documents.MAX_BYTES - 3), None),
        (b"a: " + b"x" * (documents.MAX_BYTES - 2), "larger than 4 MiB"),
    ],
)
def test_size_depth_and_number_of_values_are_limited(text: bytes, expected: str | None) -> None:
    if expected is None:
        assert read(text) is not None
    else:
        assert expected in fault(text)


def test_a_message_never_quotes_a_value(parser: str) -> None:
    for text in (
        "P: hunter2: x", "P: *hunter2", "P: !hunter2 x", "P: !h!hunter2 x", "P: 'hunter2", "P: [hunter2",
        'P: "hunter2\\q"', '{"P": "hunter2', '{"P": hunter2, "P": 1}', "P: %hunter2", "P: @hunter2",
        "P: hunter2\n\tx: y",
    ):  # fmt: skip
        assert "hunter2" not in fault(text, as_text=True)


def test_the_caller_names_the_class_of_the_error() -> None:
    with pytest.raises(ContractError):
        documents.load("a: [", name="doc", error=ContractError)


@given(
    st.binary(max_size=300) | st.text(max_size=300) | st.text("{}[]:,&*!|>'\"%@#-? \n\tab01\\u", max_size=60)
)
def test_any_text_is_read_or_raises_the_error(text: bytes | str) -> None:
    for as_text, json_only in ((False, False), (True, False), (False, True)):
        with suppress(ConfigError):
            value = documents.load(text, name="doc", as_text=as_text, json_only=json_only).value
            json.dumps(value, allow_nan=False).encode()


plain_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(plain_data, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_json_is_read_as_by_pythons_own_reader(
    value: Any, ascii_only: bool, indent: int | str | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert documents.load(text, name="doc", json_only=True).value == json.loads(text)


texts = st.recursive(
    st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(texts, st.booleans())
def test_what_pyyaml_writes_is_read_back(value: Any, flow: bool) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow)
    assert documents.load(text, name="doc", as_text=True).value == value

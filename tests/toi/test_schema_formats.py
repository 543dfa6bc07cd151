"""The formats of JSON Schema: every expectation here is the result of gojsonschema 1.2.0."""

import pytest

from tweed_shim.data import jsonschema
from tweed_shim.data.jsonschema import SchemaFault
from tweed_shim.toi.schema_formats import CHECKS

FORMATS = "tweed_shim.toi.schema_formats"
UUID = "12345678-1234-1234-1234-123456789abc"
EMAILS = (
    [
        "a@b", "a@b.c", "A <a@b>", '"x y" <a@b>', '"x y"@b', "a@[1.2.3.4]", "a@[::1]", "a@ b", " a@b ", "<a@b>",
        "a@b (c)", "A. B. <a@b> (c)", "é@ü", '"a\\"b"@c', "A (c) <a@b>", "< a@b>", 'A <"x"@b>', '"a" "b" c <d@e>',
    ],
    [
        '""@b', "a@[x]", "a..b@c", ".a@b", "a.@b", "a@b.", "a @b", "<a@b", "a@b>", "(c) a@b", "a,b@c", "a@b,c@d", "",
        "x", "Name a@b", "a@b\n", "a@b (x", "<a@b >",
    ],
)  # fmt: skip
# Texts that are, or are not, both a URI and a reference; a reference needs no scheme.
REFERENCES = (
    [
        "http://a", "http:a", "http://a/b c", "http://[::1]:80/", "http://u:p@h", "mailto:x", "a:b:c", "http://a#b",
        "http://é/ü", "http://%e9", "http://", "http:///x", "urn:x:y", "http://[fe80::1%25eth0]/", "x://a:1:2",
        "http://a:", 'http://"a"', "http://h?q=%zz",
    ],
    [
        "http://a b", "http://[::1", "http://a:x", "http://u p@h", "http://h/%zz", "1a:b", ":a", "http://a/#%zz",
        "http://%41", "http://a\\b", "http://a{b}", "http://a|b", "\x7f", "a:\n", "//a b/", "http://[1.2.3.4]/",
    ],
)  # fmt: skip
RELATIVE = ["a", "//a/b", "a?b:c", "a/b:c", "///x", "*", "", "a b", "#x"]
VALUES: dict[str, tuple[list[str], list[str]]] = {
    "date": (
        ["2024-02-29", "0000-02-29", "0001-01-01", "9999-12-31"],
        ["2023-02-29", "2024-1-01", "2024-13-01", " 2024-01-01", "2024-01-01\n", "\uff12024-01-01", ""],
    ),
    "time": (
        ["12:00:00", "9:00:00", "12:00:00Z", "12:00:00+24:60", "12:00:00.5Z", "12:00:00,123456789123"],
        ["23:59:60", "12:00:00z", "12:00", "24:00:00", "12:00:00+0100", "12:00:00-25:00"],
    ),
    "date-time": (
        [
            "2024-01-01T00:00:00Z",
            "2024-01-01T9:00:00+01:00",
            "2024-01-01",
            "12:00:00",
            "2024-01-01T00:00:00.1Z",
        ],
        ["2024-01-01 00:00:00Z", "2024-01-01t00:00:00Z", "2024-02-30T00:00:00Z", "2024-01-01T00:00:00"],
    ),
    "hostname": (
        ["a", "a.b", "x" * 63, ("x" * 60 + ".") * 4 + "abc", "A.B1"],
        ["-a", "a-", "a_b", "a..b", "a.", "x" * 64, ("x" * 60 + ".") * 4 + "x" * 12, "é.com", "a\n", ""],
    ),
    "email": EMAILS,
    "idn-email": EMAILS,
    "ipv4": (
        ["1.2.3.4", "::ffff:1.2.3.4", "::1.2.3.4"],
        ["01.2.3.4", "1.2.3", "256.1.1.1", "1.2.3.4 ", "", "fe80::1%eth0", "1.2.3.4.", "::1"],
    ),
    "ipv6": (
        ["::1", "::", "::ffff:1.2.3.4", "1:2:3:4:5:6:7:8"],
        ["1::2::3", "fe80::1%eth0", "1:2:3:4:5:6:7:8:9", "12345::", "[::1]", "1.2.3.4"],
    ),
    "uri": (REFERENCES[0], [*REFERENCES[1], *RELATIVE]),
    "iri": (REFERENCES[0], [*REFERENCES[1], *RELATIVE]),
    "uri-reference": ([*REFERENCES[0], *RELATIVE], REFERENCES[1]),
    "iri-reference": ([*REFERENCES[0], *RELATIVE], REFERENCES[1]),
    "uri-template": (
        ["/a/{b}", "/a/}", "{a}{b}", "/a{b{c}}", "a:b"],
        ["/a/{b", "http://a/{x}/y{?z}", "%7Ba", "/}{", "http://{a}/x", "{a}:x"],
    ),
    "uuid": ([UUID], [UUID.upper(), UUID[:-1] + "g", f"{{{UUID}}}", f"{UUID}\n"]),
    "regex": (
        ["", "a", r"\d+", "(?P<n>a)", r"\pL", "[[:alpha:]]", "(?i)a", "x{1,", r"\z"],
        ["(", "(?=a)", r"(a)\1", "[a", "a{1001}", "a**", "a{2,1}", "*", r"\Z", "[b-a]"],
    ),
    "json-pointer": (["", "/", "/a/b", "/~0"], ["a", "/~2", "/~", "#/a"]),
    "relative-json-pointer": (["0", "1/a", "0#", "1#"], ["01", "0#/a", "", "-1"]),
}


def test_every_format_has_values() -> None:
    assert set(VALUES) == set(CHECKS)


@pytest.mark.parametrize("name", VALUES)
def test_texts_with_and_without_a_format(name: str) -> None:
    for expected, texts in zip((True, False), VALUES[name], strict=True):
        assert {text: CHECKS[name](text) for text in texts} == dict.fromkeys(texts, expected)


@pytest.mark.parametrize("name", [*VALUES, "int32"])
def test_a_number_has_no_known_format_and_other_values_have_every_format(name: str) -> None:
    def faults(value: object) -> list[SchemaFault]:
        return jsonschema.value_faults({"format": name}, value, formats=FORMATS)

    for value in (None, True, [1], {"a": "b"}):
        assert faults(value) == []
    problem = [] if name == "int32" else [SchemaFault((), f'must be a valid "{name}"')]
    assert faults(5) == faults(1.5) == problem


def test_formats_are_checked_only_on_request() -> None:
    schema = {"properties": {"a": {"format": "ipv4"}}}
    assert jsonschema.value_faults(schema, {"a": "x"}) == []
    assert jsonschema.value_faults(schema, {"a": "x"}, formats=FORMATS) == [
        SchemaFault(("a",), 'must be a valid "ipv4"')
    ]

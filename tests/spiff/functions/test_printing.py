"""The verbs of `format`, and what it says of arguments that do not fit them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynaml import evaluate
from tweed_shim.spiff.functions.printing import quoted, sprintf


@pytest.mark.parametrize(
    ("template", "arguments", "expected"),
    [
        ("%v %v %v %v", [1, 1.5, True, "x"], "1 1.5 true x"),
        ("%d|%5d|%-5d|%05d|%+d|% d", [1, 2, 3, -4, 5, 6], "1|    2|3    |-0004|+5| 6"),
        ("%x %X %o %O %b %#x %#o", [255, 255, 8, 8, 5, 255, 8], "ff FF 10 0o10 101 0xff 010"),
        ("%c %q %U", [233, 65, 233], "é 'A' U+00E9"),
        ("%.3d", [5], "005"),
        ("%s|%5s|%-5s|%.2s", ["abc"] * 4, "abc|  abc|abc  |ab"),
        ("%q %x %X % x", ['a"\n', "hé", "k", "ab"], '"a\\"\\n" 68c3a9 6B 61 62'),
        (
            "%f %.2f %8.3f %08.3f %+.1f",
            [1.5, 1.25, 3.14159, -3.14159, 2.0],
            "1.500000 1.25    3.142 -003.142 +2.0",
        ),
        ("%e %g %g %v %G", [12345.678, 1e6, 123456.0, 1e-5, 1e-7], "1.234568e+04 1e+06 123456 1e-05 1E-07"),
        ("%t|%6t|%v", [True, False, False], "true| false|false"),
        ("100%% %s", ["sure"], "100% sure"),
        ("%T %T %T %T", [1, 1.5, "a", True], "int64 float64 string bool"),
        ("%*d|%-*d|%.*f", [4, 1, 3, 2, 1, 2.25], "   1|2  |2.2"),
        ("%[2]d %[1]d", [1, 2], "2 1"),
        ("%d", ["a"], "%!d(string=a)"),
        ("%s %s %s", [1, 1.5, True], "%!s(int64=1) %!s(float64=1.5) %!s(bool=true)"),
        ("%v %s", [None, None], "<nil> %!s(<nil>)"),
        ("%s", [], "%!s(MISSING)"),
        ("%[5]d", [1], "%!d(BADINDEX)"),
        ("x", [1, "a", None], "x%!(EXTRA int64=1, string=a, <nil>)"),
        ("%", [], "%!(NOVERB)"),
        ("%z", [1], "%!z(int64=1)"),
        ("é%sé", ["ü"], "éüé"),
    ],
)
def test_verbs(template: str, arguments: list[Any], expected: str) -> None:
    assert sprintf(template, arguments) == expected


def test_lists_maps_lambdas_and_templates_are_printed_as_they_are_written() -> None:
    document = "pattern:\n  <<: (( &template ))\n  a: (( b ))\n"
    assert evaluate('format("%s|%s|%s", [1, "a"], { $k = ~ }, |x|->x + 1)') == (
        "- 1\n- a\n|k: null\n|lambda|x|->x + 1"
    )
    assert "(( b ))" in evaluate('format("%s", pattern)', document)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", '""'),
        ("é\t\\", '"é\\t\\\\"'),
        ("\x00\x7f", '"\\x00\\x7f"'),
        ("\u200b\U000e0001", '"\\u200b\\U000e0001"'),
        ("\udcff", '"\\xff"'),
    ],
)
def test_quoted_texts_show_what_cannot_be_seen(text: str, expected: str) -> None:
    assert quoted(text) == expected


@settings(deadline=None)
@given(
    st.text(alphabet="%[]*.-+# 0123dvsqxXobcUefgGtT", max_size=12),
    st.lists(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=3),
        max_size=3,
    ),
)
def test_any_template_prints_something(template: str, arguments: list[Any]) -> None:
    assert isinstance(sprintf(template, arguments), str)

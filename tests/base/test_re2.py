"""Regular expressions: what RE2's syntax means, and that Python's own is not let through."""

import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tweed_shim.base.re2 import BadPattern, compiled, matches


def found(pattern: str, text: str) -> list[str]:
    return [match[0] for match in matches(compiled(pattern), text)]


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("a+", "caaba", ["aa", "a"]),
        (r"\d+", "1٣2", ["1", "2"]),
        (r"\w+", "aé_1", ["a", "_1"]),
        (r"\W", "aé", ["é"]),
        (r"\s", "\v\t", ["\t"]),
        (r"\b\w+", "né on", ["n", "on"]),
        (r"\Ba", "aa", ["a"]),
        ("a$", "a\n", []),
        ("(?m)a$", "a\na", ["a", "a"]),
        (r"\Aa|a\z", "aba", ["a", "a"]),
        (".", "\n", []),
        ("(?s).", "\n", ["\n"]),
        ("(?i)É", "é", ["é"]),
        ("(?i:a)b", "AbAB", ["Ab"]),
        ("(?U)a+", "aaa", ["a", "a", "a"]),
        ("(?U)a+?", "aaa", ["aaa"]),
        ("x(?i)y|z", "xYZ", ["xY", "Z"]),
        ("(?P<one>a)(?<two>b)", "ab", ["ab"]),
        ("[[:alpha:]]+", "ab1é", ["ab"]),
        ("[[:^digit:]]+", "a1é", ["a", "é"]),
        ("[^[:punct:][:space:]]+", "a, b!", ["a", "b"]),
        (r"[\d_]+", "1_a", ["1_"]),
        (r"[\W]", "aé", ["é"]),
        ("[!--]+", "!#-.", ["!#-"]),
        ("[a&&b]+", "a&b", ["a&b"]),
        ("[]a]+", "]a", ["]a"]),
        ("[^]a]+", "]ba", ["b"]),
        ("[a-]+", "a-b", ["a-"]),
        ("[[a]+", "[a", ["[a"]),
        (r"\pL+", "aé1", ["aé"]),
        (r"\p{Lu}", "aÉ", ["É"]),
        (r"\PL", "aé1", ["1"]),
        (r"\Qa.b\E+", "a.bb axb", ["a.bb"]),
        (r"\x41\x{e9}\101", "AéA", ["AéA"]),
        ("a{,2}", "a{,2}", ["a{,2}"]),
        ("a{2,}", "aaa", ["aaa"]),
        ("a*", "baac", ["", "aa", ""]),
        ("^{0}b", "ab", ["b"]),
        ("", "ab", ["", "", ""]),
        ("a|b|", "ba", ["b", "a"]),
    ],
)  # fmt: skip
def test_the_syntax(pattern: str, text: str, expected: list[str]) -> None:
    assert found(pattern, text) == expected


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "missing closing )"),
        (")", "unexpected )"),
        ("[a", "missing closing ]"),
        ("[a\\", "missing closing ]"),
        ("*", "missing argument to repetition operator"),
        ("a|*", "missing argument to repetition operator"),
        ("a**", "invalid nested repetition operator"),
        ("a*+", "invalid nested repetition operator"),
        ("a{2}{3}", "invalid nested repetition operator"),
        ("a{3,2}", "invalid repeat count"),
        ("a{1001}", "invalid repeat count"),
        ("a\\", "trailing backslash at end of expression"),
        (r"(a)\1", "invalid escape sequence"),
        (r"\Z", "invalid escape sequence"),
        (r"\x{110000}", "invalid escape sequence"),
        ("(?=a)", "invalid or unsupported Perl syntax"),
        ("(?<=a)b", "invalid or unsupported Perl syntax"),
        ("(?>a)", "invalid or unsupported Perl syntax"),
        ("(?P=x)", "invalid or unsupported Perl syntax"),
        ("[[:none:]]", "invalid character class range"),
        (r"\p{None}", "invalid character class range"),
        ("[b-a]", ""),
        ("(" * 5000 + ")" * 5000, ""),
    ],
)
def test_what_is_no_expression_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(BadPattern, match="error parsing regexp") as refusal:
        compiled(pattern)
    assert reason in str(refusal.value)


@settings(deadline=None)
@given(
    st.text(alphabet=r"ab1é.*+?{}[]()|^$\-:&~#<>,=!UimsPQEpLdwbzAx", max_size=12),
    st.text(alphabet="ab1é\n", max_size=6),
)
def test_any_text_is_an_expression_or_refused(pattern: str, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found(pattern, text)
        except BadPattern:
            return

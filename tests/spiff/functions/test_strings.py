"""Functions on strings: format, join, split, trim, match, replace, substr, paths and URLs."""

from typing import Any

import pytest

from dynaml import evaluate, exact, fault

DOCUMENT = "who: kim\nage: 7\nlist: [ash, oak]\nnested: [[1, 2], 3]\npi: 3.25\nmap: {k: v}\n"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('format("plain")', "plain"),
        ('format("%s is %d", who, age)', "kim is 7"),
        ('format("%05d|%-5s|%5s", 42, "ab", "cd")', "00042|ab   |   cd"),
        ('format("%x %X %o %b", 255, 255, 8, 5)', "ff FF 10 101"),
        ('format("%t", true)', "true"),
        ('format("%q", who)', '"kim"'),
        ('format("100%%")', "100%"),
        ('format("%.2f", pi)', "3.25"),
        ('format("%v %v", age, who)', "7 kim"),
        ('format("%s", list)', "- ash\n- oak\n"),
        ('format("%c", 65)', "A"),
        ('format("%+d", 5)', "+5"),
        ('format("%s")', "%!s(MISSING)"),
        ('format("%d", who)', "%!d(string=kim)"),
        ('format("x", 1)', "x%!(EXTRA int64=1)"),
        ('join(", ", list)', "ash, oak"),
        ('join("-", 1, "b", list, true)', "1-b-ash-oak-true"),
        ('join(",")', ""),
        ('join("", list)', "ashoak"),
        ('join(",", [])', ""),
        ('join(",", who)', "kim"),
        ('split(",", "a,b,,c")', ["a", "b", "", "c"]),
        ('split(",", "")', [""]),
        ('split(", ", "a, b")', ["a", "b"]),
        ('split("", "abc")', ["a", "b", "c"]),
        ('split(",", "a,b,c", 2)', ["a", "b,c"]),
        ('split(",", "a,b,c", -1)', ["a", "b", "c"]),
        ('split(4, "1234567890")', ["1234", "5678", "90"]),
        ('split(4, "1234567890", 2)', ["1234", "567890"]),
        ('split_match("[,;]", "a,b;c")', ["a", "b", "c"]),
        ('split_match(" +", "a  b c", 2)', ["a", "b c"]),
        ('trim("  a b\\t ")', "a b"),
        ('trim("xxaxx", "x")', "a"),
        ('trim([" a", "b "])', ["a", "b"]),
        ('trim("a\\n")', "a\n"),
        ('trim("abcba", "ab")', "c"),
        ('upper("aBc")', "ABC"),
        ('lower("aBc")', "abc"),
        ('replace("foofoo", "oo", "u")', "fufu"),
        ('replace("foofoo", "oo", "u", 1)', "fufoo"),
        ('replace("foofoo", "oo", "u", -1)', "fufu"),
        ('replace("abc", "", "-")', "-a-b-c-"),
        ('replace("a.c", ".", "x")', "axc"),
        ('replace_match("foobar", "(o*)b", "<${1}>")', "f<oo>ar"),
        ('replace_match("a1b22", "[0-9]+", "#")', "a#b#"),
        ('replace_match("a1b22", "[0-9]+", "#", 1)', "a#b22"),
        ('replace_match("a1b22", "([0-9])", |m|->m.[1] m.[1])', "a11b2222"),
        ('replace_match("key=val", "(?P<k>\\\\w+)=(?P<v>\\\\w+)", "$v=$k")', "val=key"),
        ('match("(f.*)(b.*)", "xfoobar")', ["foobar", "foo", "bar"]),
        ('match("z", "abc")', []),
        ('match("b", "abc") ? "yes" :"no"', "yes"),
        ('match("[a-c]", "abcd", 2)', [["a"], ["b"]]),
        ('match("[a-c]", "abcd", -1)', [["a"], ["b"], ["c"]]),
        ('match("(a)(z)?", "ab")', ["a", "a", ""]),
        ('match("(?i)ABC", "xabcx")', ["abc"]),
        ('substr("foobar", 3)', "bar"),
        ('substr("foobar", -2)', "ar"),
        ('substr("foobar", 1, -1)', "ooba"),
        ('substr("foobar", 0, 3)', "foo"),
        ('substr("foobar", 2, 2)', ""),
        ('contains("foobar", "oba")', True),
        ('contains("foobar", "x")', False),
        ('index("foobar", "o")', 1),
        ('index("foobar", "x")', -1),
        ('lastindex("foobar", "o")', 2),
        ('length("foobar")', 6),
        ('length("")', 0),
        ('basename("a/b/c.txt")', "c.txt"),
        ('basename("/a/b/")', "b"),
        ('basename("http://h.org/a/b?q=1")', "b"),
        ('dirname("a/b/c.txt")', "a/b"),
        ('dirname("c.txt")', "."),
        ('dirname("/a")', "/"),
        ('dirname("http://h.org/a/b")', "/a"),
        ('base64("hello")', "aGVsbG8="),
        ('base64_decode("aGVsbG8=")', "hello"),
        ('base64("aaaaaaaaaaaa", 8)', "YWFhYWFh\nYWFhYWFh"),
        ('base64("")', ""),
        ('asjson("a\\"b")', '"a\\"b"'),
    ],
)
def test_strings(expression: str, expected: Any) -> None:
    assert exact(evaluate(expression, DOCUMENT)) == exact(expected)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "https://me:pw@h.org:8443/p/q?a=1&b=2&a=3#frag",
            {
                "scheme": "https",
                "host": "h.org",
                "port": 8443,
                "path": "/p/q",
                "fragment": "frag",
                "query": "a=1&b=2&a=3",
                "values": {"a": ["1", "3"], "b": ["2"]},
                "userinfo": {"username": "me", "password": "pw"},
            },
        ),
        ("http://h.org", {"scheme": "http", "host": "h.org", "path": "", "fragment": "", "query": "", "values": {}}),
        ("/just/a/path", {"scheme": "", "host": "", "path": "/just/a/path", "fragment": "", "query": "", "values": {}}),
    ],
)  # fmt: skip
def test_urls_have_parts(url: str, expected: Any) -> None:
    assert exact(evaluate(f'parseurl("{url}")')) == exact(expected)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("format()", "format"),
        ("format(5)", ""),
        ("join()", ""),
        ("join(list, list)", "first argument for join must be a string"),
        ('join(",", map)', "argument 1 to join must be simple value or list"),
        ('join(",", nested)', "elements of list(arg 1) to join must be simple values"),
        ('split(",")', ""),
        ('split(",", 5)', ""),
        ("split(list, who)", ""),
        ("trim()", ""),
        ("trim(5)", ""),
        ('trim("a", 5)', ""),
        ("upper(5)", ""),
        ("lower()", ""),
        ('replace("a", "b")', ""),
        ('replace(5, "b", "c")', ""),
        ('match("(", "a")', "match"),
        ('match("a")', ""),
        ('match("a", list)', ""),
        ('substr("abc", "x")', ""),
        ('substr("abc", 9)', ""),
        ('substr("abc", 2, 1)', ""),
        ("basename()", ""),
        ("base64()", ""),
        ('base64_decode("%%%")', "base64"),
        ('replace_match("a", "(", "b")', ""),
        ('parseurl("http://[::1")', ""),
    ],
)
def test_string_functions_that_do_not_fit(expression: str, reason: str) -> None:
    assert reason in fault(expression, DOCUMENT)

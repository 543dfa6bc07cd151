"""URLs and paths in their odd forms."""

from typing import Any

import pytest

from dynaml import evaluate, fault

NOTHING: dict[str, Any] = {"scheme": "", "host": "", "path": "", "query": "", "fragment": "", "values": {}}


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("", {}),
        ("*", {"path": "*"}),
        ("a/b", {"path": "a/b"}),
        ("mailto:kim@example.org", {"scheme": "mailto"}),
        ("HTTP://Host", {"scheme": "http", "host": "Host"}),
        ("//host/p", {"host": "host", "path": "/p"}),
        ("///p", {"path": "///p"}),
        ("http:///p", {"scheme": "http", "path": "/p"}),
        ("http://h:80", {"scheme": "http", "host": "h", "port": 80}),
        ("http://h:/", {"scheme": "http", "host": "h", "path": "/"}),
        ("http://h:99999999999999999999", {"scheme": "http", "host": "h"}),
        ("http://[::1]:8/", {"scheme": "http", "host": "::1", "port": 8, "path": "/"}),
        ("http://[::1]", {"scheme": "http", "host": "::1"}),
        ("ssh://git@h/r", {"scheme": "ssh", "host": "h", "path": "/r", "userinfo": {"username": "git"}}),
        ("x://a%40b:c%3ad@h", {"scheme": "x", "host": "h", "userinfo": {"username": "a@b", "password": "c:d"}}),
        ("x://:p@h", {"scheme": "x", "host": "h", "userinfo": {"username": "", "password": "p"}}),
        ("/%41%2f?%41=1#%41", {"path": "/A/", "query": "%41=1", "values": {"A": ["1"]}, "fragment": "A"}),
        ("?a=1&b&a=2&c=x+y%26", {"query": "a=1&b&a=2&c=x+y%26", "values": {"a": ["1", "2"], "b": [""], "c": ["x y&"]}}),
        ("?a=%zz&b;c=1&&d=4", {"query": "a=%zz&b;c=1&&d=4", "values": {"d": ["4"]}}),
        ("p?a?b#c#d", {"path": "p", "query": "a?b", "values": {"a?b": [""]}, "fragment": "c#d"}),
    ],
)  # fmt: skip
def test_a_url_has_parts(url: str, parts: dict[str, Any]) -> None:
    assert evaluate(f'parseurl("{url}")') == {**NOTHING, **parts}


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (":p", "missing protocol scheme"),
        ("1:b", "first path segment in URL cannot contain colon"),
        ("/%zz", 'invalid URL escape "%zz"'),
        ("/%4", 'invalid URL escape "%4"'),
        ("http://a%41/", 'invalid URL escape "%41"'),
        ("http://h:port/", 'invalid port ":port" after host'),
        ("http://[::1", "missing ']' in host"),
        ("http://[::1]x", 'invalid port "x" after host'),
        ("http://a b/", 'invalid character " " in host name'),
        ("http://a b@h/", "invalid userinfo"),
        ("http://h/\\n", "invalid control character in URL"),
    ],
)
def test_what_is_no_url_is_told(url: str, reason: str) -> None:
    assert reason in fault(f'parseurl("{url}")')


@pytest.mark.parametrize(
    ("path", "base", "directory"),
    [
        ("a/b", "b", "a"),
        ("a/b/", "b", "a/b"),
        ("a", "a", "."),
        ("/a", "a", "/"),
        ("/", "/", "/"),
        ("", "/", "/"),
        ("a/../b/c", "c", "b"),
        ("../a", "a", ".."),
        ("x://h/a/b?c#d", "b", "/a"),
        ("x://h", "/", "/"),
        ("a%20b/c%2Fd", "d", "a b/c"),
        ("a%zz/b", "b", "a%zz"),
        ("é/ü", "ü", "é"),
    ],
)
def test_paths_have_a_base_and_a_directory(path: str, base: str, directory: str) -> None:
    document = f'path: "{path}"'
    assert (evaluate("basename(path)", document), evaluate("dirname(path)", document)) == (base, directory)

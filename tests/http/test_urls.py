"""URLs: what is read is what is connected to, and what parsers disagree about is refused."""

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter
from urllib3.util import parse_url

from tweed_shim.errors import BadUrl
from tweed_shim.http.hosts import comparable
from tweed_shim.http.urls import Origin, Url, parse

# Letters that parsers of URLs are known to disagree about, and the ones around them.
LETTERS = "aZ09-._~%2eEfF5cC3b/\\:@?#[]&=;+ \t\r\n\0\x7f\x85\u2028\uff0e\uff0f\u3002éß,'\"<>^`{|}!$()*"
AUTHORITY = st.one_of(
    st.text("aB0.-_:@[]%xn", max_size=12),
    st.sampled_from(
        [
            "host", "HOST.", "h:80", "h:443", "127.0.0.1", "127.1", "0x7f.1", "2130706433", "[::1]", "[::1]:81",
            "[::FFFF:7f00:1]", "[fe80::1%25eth0]", "u:p@h", "h\\@o", "h:", "h:0", "h:65536", "xn--bcher-kva.example",
        ]
    ),
)  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=40),
    st.text(LETTERS, max_size=40),
    st.builds(
        "{}://{}{}".format,
        st.sampled_from(["http", "https", "HTTP", "ftp", ""]),
        AUTHORITY,
        st.text(LETTERS, max_size=30).map(lambda text: text if text[:1] in "/?#\\@:" else f"/{text}"),
    ),
)


@given(TEXTS)
def test_a_parsed_url_is_what_is_connected_to(text: str) -> None:
    try:
        url = parse(text)
    except BadUrl:
        return
    assert parse(str(url)) == url
    agree(url, str(url))
    # Where it is canonical already, it has been the same for other parsers from the beginning.
    read = parse_url(text)
    assert (read.scheme, read.port or url.origin.port) == (url.origin.scheme, url.origin.port)
    assert (read.host or "").rstrip(".") == url.origin.host or url.origin.host.startswith("[")


def agree(url: Url, text: str) -> None:
    """The libraries that connect read a text as the record says."""
    prepared = requests.Request("GET", text).prepare()
    assert prepared.url == text
    host, _ = HTTPAdapter().build_connection_pool_key_attributes(prepared, verify=True)
    assert (host["scheme"], host["port"] or url.origin.port) == (url.origin.scheme, url.origin.port)
    assert host["host"] == url.origin.host.strip("[]")
    assert prepared.path_url == url.path + (f"?{url.query}" if url.query else "")
    read = parse_url(text)
    assert (read.scheme, read.host, read.port or url.origin.port) == tuple(
        getattr(url.origin, name) for name in ("scheme", "host", "port")
    )
    assert (read.path, read.query or "") == (url.path, url.query)


@given(TEXTS, TEXTS)
def test_a_reference_is_read_or_refused(base: str, reference: str) -> None:
    try:
        url = parse(base).join(reference)
    except BadUrl:
        return
    agree(url, str(url))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("HTTPS://Host.Example:443", "https://host.example/"),
        ("http://h.example.:80/a#f", "http://h.example/a"),
        ("https://h:8443/%7Ea/%c3%A9é?x=%41 b".replace(" ", ""), "https://h:8443/~a/%C3%A9%C3%A9?x=Ab"),
        ("http://[0:0::0001]:81/", "http://[::1]:81/"),
        ("http://[::ffff:7F00:1]", "http://[::ffff:7f00:1]/"),
        ("http://[1:0:0:2:0:0:0:3]", "http://[1:0:0:2::3]/"),
        ("https://h//a//b", "https://h/a//b"),
        ("https://h/a%2Fb/c%20d", "https://h/a%2Fb/c%20d"),
        ("https://h?q=a/../b", "https://h/?q=a/../b"),
        ("https://under_score.h/..a/b..", "https://under_score.h/..a/b.."),
    ],
)
def test_a_url_has_one_spelling(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("http://127.0.0.1:28802\\@host:28801/a", "a backslash"),
        ("http://user:hunter2@h/", "a user name or a password"),
        ("http://hunter2@h/", "a user name or a password"),
        ("http://h /", "a blank or a control character"),
        ("http://h/a\tb", "a blank or a control character"),
        ("http://h/\r\nX: y", "a blank or a control character"),
        ("http://h/\u2028", "a blank or a control character"),
        ("\x1bhttp://h/", "a blank or a control character"),
        ("http://h:99999/", "its port is not a number from 1 to 65535"),
        ("http://h:0/", "its port is not a number from 1 to 65535"),
        ("http://h:/", "its port is not a number from 1 to 65535"),
        ("http://h:hunter2/", "its port is not a number from 1 to 65535"),
        ("http://h:8o/", "its port is not a number from 1 to 65535"),
        ("http://h:+80/", "its port is not a number from 1 to 65535"),
        ("http://h:80:81/", "malformed"),
        ("http://[::1/", "malformed"),
        ("http://[::zz]/", "malformed"),
        ("http://[::1]x/", "malformed"),
        ("http://[fe80::1%25eth0]/", "malformed"),
        ("http://[127.0.0.1]/", "malformed"),
        ("http://127.1/", "malformed"),
        ("http://0x7f000001/", "malformed"),
        ("http://017700000001/", "malformed"),
        ("http://127.0.0.01/", "malformed"),
        ("http://256.0.0.1/", "malformed"),
        ("http://a..b/", "malformed"),
        ("http://-a/", "malformed"),
        ("http://%61/", "malformed"),
        (f"http://{'a' * 64}/", "malformed"),
        ("http://bücher.example/", "punycode"),
        ("http://h\uff0eexample/", "punycode"),
        ("http:///a", "no host"),
        ("http://./a", "no host"),
        ("http://?h", "no host"),
        ("http://h/a/../b", "segment of dots"),
        ("http://h/.", "segment of dots"),
        ("http://h/a/%2e%2E/b", "segment of dots"),
        ("http://h/a/.%2e", "segment of dots"),
        ("http://h/a/%252e%252e/b", "segment of dots"),
        ("http://h/a/..%2fb", "segment of dots"),
        ("http://h/a%2f..%5cb", "segment of dots"),
        ("http://h/a/..;x=y/b", "segment of dots"),
        ("http://h/a/..%3b/b", "segment of dots"),
        ("http://h/%zz", "two hexadecimal digits"),
        ("http://h/?a=100%", "two hexadecimal digits"),
        ("ftp://h/", "it is not an http or https address"),
        ("h/a", "it is not an http or https address"),
        ("http:/h/a", "it is not an http or https address"),
        ("", "it is not an http or https address"),
        (f"http://h/{'a' * (16 << 10)}", "longer than 16 KiB"),
    ],
)
def test_ambiguous_urls_are_refused_and_not_repeated(text: str, reason: str) -> None:
    with pytest.raises(BadUrl, match=reason) as refusal:
        parse(text)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    ("reference", "joined"),
    [
        ("x", "https://h:81/a/b/x"),
        ("../x", "https://h:81/a/x"),
        ("../../../x", "https://h:81/x"),
        ("./x/../y/.", "https://h:81/a/b/x/../y/".replace("x/../", "")),
        ("/x?y", "https://h:81/x?y"),
        ("?y", "https://h:81/a/b/c?y"),
        ("", "https://h:81/a/b/c?q"),
        ("#f", "https://h:81/a/b/c?q"),
        ("//other/x", "https://other/x"),
        ("http://other/x", "http://other/x"),
    ],
)
def test_a_relative_reference_is_resolved(reference: str, joined: str) -> None:
    assert str(parse("https://h:81/a/b/c?q").join(reference)) == joined


@pytest.mark.parametrize("reference", ["/a/../b", "%2e%2e/x", "javascript:x", "..\\x", "a b", "//u@h/", "//"])
def test_a_reference_that_is_no_clear_one_is_refused(reference: str) -> None:
    with pytest.raises(BadUrl):
        parse("https://h/a/b").join(reference)


def test_a_url_is_extended_by_its_fields() -> None:
    url = parse("https://h/a/?x=1")
    assert str(url.child("b/c")) == "https://h/a/b/c?x=1"
    assert str(url.with_query("y=2")) == "https://h/a/?x=1&y=2"
    assert str(parse("https://h").with_query("y=2")) == "https://h/?y=2"
    with pytest.raises(BadUrl):
        url.child("../b")


def test_hosts_are_compared_in_one_spelling() -> None:
    assert comparable("Reg.Example.:443") == comparable("reg.example") == "reg.example"
    assert comparable("reg.example:5000") == "reg.example:5000"
    assert comparable("[0::1]:443") == comparable("[::1]") == "[::1]"
    assert parse("http://A.example.:80/").origin == Origin("http", "a.example", 80)

"""Split paths and URLs as Go's packages `path` and `net/url` do."""

from __future__ import annotations

import posixpath
import re

from tweed_shim.base.records import Record
from tweed_shim.spiff.functions.arguments import parse_integer
from tweed_shim.spiff.functions.encodings import to_bytes, to_text
from tweed_shim.spiff.functions.registry import Call, function
from tweed_shim.spiff.tree.values import Fault, Value

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})(.{0,2})", re.DOTALL)
_USERINFO = re.compile(r"[A-Za-z0-9._:~!$&'()*+,;=%@-]*")
_HOST = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:\[\]<>\"%-]|[^\x00-\x7f]")
_PORT = re.compile(r"(?::[0-9]*)?")


class URL(Record):
    """The parts of a URL, unescaped except the query. userinfo: None, (name,) or (name, password)."""

    scheme: str = ""
    userinfo: tuple[str, ...] | None = None
    host: str = ""
    path: str = ""
    query: str = ""
    fragment: str = ""


def parse_url(text: str) -> URL:
    """Read a URL or a reference to one (RFC 3986). Raises ValueError."""
    if any(ord(character) < 0x20 or character == "\x7f" for character in text):
        raise ValueError("invalid control character in URL")
    rest, _, fragment = text.partition("#")
    match = _SCHEME.match(rest)
    if match is None and rest.startswith(":"):
        raise ValueError("missing protocol scheme")
    scheme, rest = (match[1].lower(), rest[match.end() :]) if match else ("", rest)
    rest, _, query = rest.partition("?")
    fragment = _unescaped(fragment)
    if scheme and not rest.startswith("/"):
        return URL(scheme, query=query, fragment=fragment)  # such as mailto:name@host
    if ":" in rest.partition("/")[0]:
        raise ValueError("first path segment in URL cannot contain colon")
    if not rest.startswith("//") or (not scheme and rest.startswith("///")):
        return URL(scheme, None, "", _unescaped(rest), query, fragment)
    authority, slash, path = rest[2:].partition("/")
    userinfo, at, host = authority.rpartition("@")
    return URL(
        scheme, _userinfo(userinfo) if at else None, _host(host), _unescaped(slash + path), query, fragment
    )


def _unescaped(text: str) -> str:
    bad = _BAD_ESCAPE.search(text)
    if bad is not None:
        raise ValueError(f'invalid URL escape "%{bad[1]}"')
    if "%" not in text:
        return text
    return to_text(re.sub(rb"%(..)", lambda escape: bytes.fromhex(escape[1].decode("ascii")), to_bytes(text)))


def _userinfo(text: str) -> tuple[str, ...]:
    if not _USERINFO.fullmatch(text):
        raise ValueError("net/url: invalid userinfo")
    return tuple([_unescaped(part) for part in text.split(":", 1)])


def _host(text: str) -> str:
    if text.startswith("["):
        inside, bracket, port = text.rpartition("]")
        if not bracket:
            raise ValueError("missing ']' in host")
        if not _PORT.fullmatch(port):
            raise ValueError(f'invalid port "{port}" after host')
        return f"{_unescaped(inside)}]{port}"
    _, colon, port = text.rpartition(":")
    if colon and not _PORT.fullmatch(colon + port):
        raise ValueError(f'invalid port ":{port}" after host')
    ascii_escape = re.search("%[0-7].?", text)
    if ascii_escape is not None:
        raise ValueError(f'invalid URL escape "{ascii_escape[0]}"')
    for character in text:
        if not _HOST.fullmatch(character):
            raise ValueError(f'invalid character "{character}" in host name')
    return _unescaped(text)


def _host_and_port(host: str) -> tuple[str, str]:
    name, colon, port = host.rpartition(":")
    if not colon or not _PORT.fullmatch(colon + port):
        name, port = host, ""
    return (name[1:-1] if name.startswith("[") and name.endswith("]") else name), port


def _query_part(text: str) -> str:
    return _unescaped(text.replace("+", " "))


def _values(query: str) -> dict[str, Value]:
    """Return the fields of a query; a malformed field is left out."""
    found: dict[str, Value] = {}
    for field in query.split("&"):
        if not field or ";" in field:
            continue
        name, _, value = field.partition("=")
        try:
            pair = _query_part(name), _query_part(value)
        except ValueError:
            continue
        found.setdefault(pair[0], []).append(pair[1])
    return found


def _path(call: Call, text: Value) -> str | None:
    """Return the path of a URL, None where it has none; a text that is no URL is the path itself."""
    if not isinstance(text, str):
        raise Fault(f"string argument expected for function {call.name}")
    try:
        return parse_url(text).path or None
    except ValueError:
        return text


def clean_path(text: str) -> str:
    """Normalize a path as Go's path.Clean does."""
    path = posixpath.normpath(text)
    return path[1:] if path.startswith("//") else path


@function("basename", 1, 1)
def basename(call: Call, text: Value) -> Value:
    """Return the last element of a path or of a URL's path."""
    path = _path(call, text)
    if path is None:
        return "/"
    return path.rstrip("/").rpartition("/")[2] or ("/" if path else ".")


@function("dirname", 1, 1)
def dirname(call: Call, text: Value) -> Value:
    """Return a path, or a URL's path, without its last element."""
    path = _path(call, text)
    if path is None:
        return "/"
    directory, slash, _ = path.rpartition("/")
    return clean_path(directory + slash)


@function("parseurl", 1, 1)
def parseurl(call: Call, text: Value) -> Value:
    """Return the parts of a URL."""
    if not isinstance(text, str):
        raise Fault(f"argument for {call.name} must be a string")
    try:
        url = parse_url(text)
    except ValueError as error:
        raise Fault(f'invalid argument for {call.name}: parse "{text}": {error}') from None
    host, port = _host_and_port(url.host)
    parts: dict[str, Value] = {
        "scheme": url.scheme,
        "host": host,
        "path": url.path,
        "fragment": url.fragment,
        "query": url.query,
        "values": _values(url.query),
    }
    number = parse_integer(port)
    if number is not None:
        parts["port"] = number
    if url.userinfo is not None:
        parts["userinfo"] = dict(zip(("username", "password"), url.userinfo, strict=False))
    return parts

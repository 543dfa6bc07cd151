"""URLs of servers: parsed once and strictly; the same record is then used to match and to connect.

    url = parse("https://Charts.Example:443/stable/%7Ea?x=1")
    url.origin, str(url)       # https://charts.example, "https://charts.example/stable/~a?x=1"

Where two parsers disagree about a URL, one host can be matched and another one connected. So everything that parsers
are known to disagree about is refused, and requests are built from the compared fields. The grammar is RFC 3986 with
the host of RFC 1123; `str(parse(str(url))) == str(url)`.

Errors repeat no part of a URL, because it may hold a password.
"""

from tweed_shim.base.records import Record, replace
from tweed_shim.base.text import ALPHANUMERIC, DIGITS, HEXADECIMAL, made_of
from tweed_shim.errors import BadUrl
from tweed_shim.http import hosts

DEFAULT_PORTS = {"https": 443, "http": 80}
LONGEST = 16 << 10

_UNRESERVED = ALPHANUMERIC + "-._~"
_PATH = frozenset(_UNRESERVED + "!$&'()*+,;=:@/")
_QUERY = _PATH | {"?"}
# Codes that a server may read as a dot or as the end of a segment: Windows reads %5C as "/", Tomcat cuts at ";".
_READ_AS = {"%2e": ".", "%2f": "/", "%5c": "/", "%3b": ";"}


class Origin(Record):
    """Scheme, host and port (RFC 6454): what a credential belongs to. The port is never left out."""

    scheme: str
    host: str
    port: int

    @property
    def netloc(self) -> str:
        """`host[:port]`, without the scheme's own port."""
        return self.host if self.port == DEFAULT_PORTS[self.scheme] else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether the host is a loopback name or address."""
        return hosts.is_loopback(self.host)

    def __str__(self) -> str:
        """The origin as a URL without a path."""
        return f"{self.scheme}://{self.netloc}"


class Url(Record):
    """An http or https URL. path: begins with one slash. path and query are percent-encoded where needed."""

    origin: Origin
    path: str = "/"
    query: str = ""

    def __str__(self) -> str:
        """The canonical text, which is used for requests."""
        return f"{self.origin}{self.path}{f'?{self.query}' if self.query else ''}"

    def join(self, text: str) -> "Url":
        """Resolve a reference relative to this URL (RFC 3986, section 5.2). Raises BadUrl.

        Dot segments are resolved in a relative path only; in an absolute path they are refused, as in `parse`.
        """
        _check_letters(text)
        reference = text.partition("#")[0]
        scheme, colon, _ = reference.partition(":")
        if colon and not set(scheme) & set("/?"):
            return parse(reference)
        if reference.startswith("//"):
            return parse(f"{self.origin.scheme}:{reference}")
        path, mark, query = reference.partition("?")
        if not path:
            return parse(f"{self.origin}{self.path}?{query if mark else self.query}")
        if not path.startswith("/"):
            path = _resolved(self.path.rpartition("/")[0], path)
        return parse(f"{self.origin}{path}{mark}{query}")

    def child(self, name: str) -> "Url":
        """Return the URL of `name` below this path, with the same query. Raises BadUrl."""
        return parse(str(replace(self, path=f"{self.path.rstrip('/')}/{name}")))

    def with_query(self, text: str) -> "Url":
        """Return the same URL with `text` appended to its query. Raises BadUrl."""
        return parse(str(replace(self, query=f"{self.query}&{text}" if self.query else text)))


def parse(text: str) -> Url:
    """Parse an absolute URL; a fragment is dropped. Raises BadUrl, whose message is only the reason."""
    _check_letters(text)
    scheme, separator, rest = text.partition("#")[0].partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in DEFAULT_PORTS:
        raise BadUrl("it is not an http or https address")
    end = min((at for at in map(rest.find, "/?") if at >= 0), default=len(rest))
    host, port = _authority(rest[:end], DEFAULT_PORTS[scheme])
    path, _, query = rest[end:].partition("?")
    path = "/" + _encoded(path, _PATH).lstrip("/")
    if _has_dots(path):
        raise BadUrl("its path has a segment of dots ('.' or '..')")
    return Url(Origin(scheme, host, port), path, _encoded(query, _QUERY))


def _check_letters(text: str) -> None:
    if len(text) > LONGEST:
        raise BadUrl("it is longer than 16 KiB")
    if "\\" in text:
        raise BadUrl("it has a backslash")
    if " " in text or not text.isprintable():
        raise BadUrl("it has a blank or a control character")


def _authority(text: str, default: int) -> tuple[str, int]:
    """Return the canonical host and the port."""
    if "@" in text:
        raise BadUrl("it has a user name or a password before its host")
    if not text.isascii():
        raise BadUrl("its host has letters other than a-z (write it in punycode: xn--...)")
    host, colon, port = (text, "", "") if text.endswith("]") else text.rpartition(":")
    if not colon:
        host, port = text, str(default)
    host = host.removesuffix(".")
    if not host:
        raise BadUrl("it has no host")
    if not hosts.is_host(host, underscores=True):
        raise BadUrl("its host is malformed")
    if not made_of(DIGITS, port) or len(port) > 5 or not 0 < int(port) < 1 << 16:
        raise BadUrl("its port is not a number from 1 to 65535")
    return hosts.canonical(host), int(port)


def _encoded(text: str, allowed: frozenset[str]) -> str:
    """Percent-encode the characters outside `allowed`, and normalize existing codes (RFC 3986, section 6.2.2)."""
    literal, *codes = text.split("%")
    pieces = [_literal(literal, allowed)]
    for each in codes:
        code, rest = each[:2], each[2:]
        if len(code) < 2 or not made_of(HEXADECIMAL + "ABCDEF", code):
            raise BadUrl("it has a % without two hexadecimal digits after it")
        letter = chr(int(code, 16))
        pieces += (letter if letter in _UNRESERVED else f"%{code.upper()}", _literal(rest, allowed))
    return "".join(pieces)


def _literal(text: str, allowed: frozenset[str]) -> str:
    if allowed.issuperset(text):
        return text
    return "".join(
        each if each in allowed else "".join(f"%{byte:02X}" for byte in each.encode()) for each in text
    )


def _has_dots(path: str) -> bool:
    """Tell whether a server may read a segment of a path as `.` or `..`, also after decoding it repeatedly."""
    if "." not in path and "%" not in path:
        return False
    plain = path.lower()
    while "%25" in plain:
        plain = plain.replace("%25", "%")
    for code, letter in _READ_AS.items():
        plain = plain.replace(code, letter)
    return any(segment.partition(";")[0] in (".", "..") for segment in plain.split("/"))


def _resolved(directory: str, path: str) -> str:
    """Resolve the dot segments of a relative path against a directory."""
    segments = directory.split("/")[1:]
    *parents, last = path.split("/")
    for each in (*parents, *([last] if last in (".", "..") else [])):
        if each == "..":
            segments = segments[:-1]
        elif each != ".":
            segments.append(each)
    return "/".join(["", *segments, "" if last in (".", "..") else last])

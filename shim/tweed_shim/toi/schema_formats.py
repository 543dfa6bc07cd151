"""The formats of JSON Schema as gojsonschema 1.2.0 checks them, with which the `ocm` command validates parameters.

They differ from the specification and from Python's library: a `date-time` may be a date alone, an `ipv4` is any
address with a dot that Go's net.ParseIP accepts, and a number has no format. Formats that are not listed here are not
checked. Of an `email`, groups and nested comments are refused, although Go accepts them.

Patterns are compiled when they are first used, because most schemes use none or one of them. The time that they need is
linear in the length of the text.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jsonschema import FormatChecker

_DATE = "(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
# One digit of an hour is enough for Go's time.Parse, which also takes offsets of 24 hours and of 60 minutes.
_TIME = "(?:[01]?[0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:[.,][0-9]+)?"
_ZONE = "(?:Z|[+-](?:[01][0-9]|2[0-4]):(?:[0-5][0-9]|60))"
_DATE_TIME = f"{_TIME}{_ZONE}?|{_DATE}(?:T{_TIME}{_ZONE})?"

# RFC 5322, section 3.4, as Go's mail.ParseAddress reads it: with letters of all alphabets, and dots in a display name.
_ATEXT = r'[^\x00-\x20\x7f()<>\[\]:;@\\,".]'
_DOT_ATOM = rf"{_ATEXT}+(?:\.{_ATEXT}+)*"
_QUOTED = r'"(?:[^\\"\x00-\x08\x0a-\x1f\x7f]|\\[^\x00-\x08\x0a-\x1f\x7f])*"'
_BLANK = r"[ \t]*"
_COMMENT = r"\((?s:[^()\\]|\\.)*\)"
_PHRASE = rf'(?={_ATEXT}|[."])(?:{_ATEXT}|\.|{_QUOTED}|[ \t]|{_COMMENT})+'
_SPEC = rf'(?!"")(?:{_DOT_ATOM}|{_QUOTED})@{_BLANK}(?:{_DOT_ATOM}|\[(?P<address>[^\[\]]*)\])'
_AFTER = rf"{_BLANK}(?:{_COMMENT}{_BLANK})*"
_EMAILS = (rf"{_BLANK}{_SPEC}{_AFTER}", rf"{_BLANK}(?:{_PHRASE})?<{_BLANK}{_SPEC}>{_AFTER}")

_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_HOSTNAME = rf"{_LABEL}(?:\.{_LABEL})*"
_UUID = "[a-f0-9]{8}-(?:[a-f0-9]{4}-){3}[a-f0-9]{12}"
_POINTER = "(?:/(?:[^~/]|~0|~1)*)*"
_RELATIVE_POINTER = rf"(?:0|[1-9][0-9]*)(?:#|{_POINTER})"
_BALANCED = r"[^{]*(?:\{[^}]*\}[^{]*)*"

_CONTROLS = "[\x00-\x1f\x7f]"
_SCHEME = "(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):"
_ESCAPED = "(?:[^%]|%[0-9A-Fa-f]{2})*"
_USER = r"(?:[A-Za-z0-9._:~!$&'()*+,;=@-]|%[0-9A-Fa-f]{2})*"
# In a host, a percent sign escapes only a byte that is not ASCII, or itself (RFC 6874).
_HOST = r"(?:[A-Za-z0-9._~!$&'()*+,;:=<>\]\"-]|[^\x00-\x7f]|%(?:[89A-Fa-f][0-9A-Fa-f]|25))*"
_IP_HOST = r"\[(?P<address>[0-9A-Fa-f:.]+)(?:%25[A-Za-z0-9._~-]+)?\](?::[0-9]*)?"


def _fits(pattern: str) -> Callable[[str], bool]:
    return lambda text: re.fullmatch(pattern, text) is not None


def _is_date(pattern: str, text: str) -> bool:
    """Return whether a text matches a pattern, and its group `date`, if there is one, is a date of the calendar."""
    from datetime import date

    match = re.fullmatch(pattern, text)
    day = match["date"] if match else None
    if day is None:
        return match is not None
    # Go's calendar has a year 0, which is a leap year. Python's begins with the year 1.
    day = day.replace("0000", "2000", 1) if day.startswith("0000") else day
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True


def _is_ip(text: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    # Go's net.ParseIP knows no zones.
    return "%" not in text


def _is_email(text: str) -> bool:
    match = re.fullmatch(_EMAILS[0], text) or re.fullmatch(_EMAILS[1], text)
    return match is not None and (match["address"] is None or _is_ip(match["address"]))


def _is_hostname(text: str) -> bool:
    return len(text) < 256 and re.fullmatch(_HOSTNAME, text) is not None


def _parse_url(text: str) -> tuple[str, str] | None:
    """Return the scheme and the path of a URL or a reference that Go's url.Parse accepts, None for any other text."""
    from urllib.parse import unquote

    rest, _, fragment = text.partition("#")
    if "\\" in text or re.search(_CONTROLS, rest) or rest.startswith(":"):
        return None
    match = re.match(_SCHEME, rest)
    scheme = match["scheme"] if match else ""
    rest = rest[match.end() if match else 0 :].partition("?")[0]
    if scheme and not rest.startswith("/"):
        # Without a slash it is opaque, which Go does not check.
        rest = ""
    elif ":" in rest.partition("/")[0]:
        return None
    if rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, slash, path = rest[2:].partition("/")
        rest = slash + path
        if not _is_authority(authority):
            return None
    if not all(re.fullmatch(_ESCAPED, part) for part in (rest, fragment)):
        return None
    return scheme, unquote(rest)


def _is_authority(text: str) -> bool:
    user, _, host = text.rpartition("@")
    if not re.fullmatch(_USER, user):
        return False
    if match := re.fullmatch(_IP_HOST, host):
        return ":" in match["address"] and _is_ip(match["address"])
    name, _, port = host.rpartition(":") if ":" in host else (host, "", "")
    is_port = port == "" or (port.isascii() and port.isdecimal())
    return is_port and re.fullmatch(_HOST, name) is not None


def _is_uri(text: str) -> bool:
    return (_parse_url(text) or ("", ""))[0] != ""


def _is_reference(text: str) -> bool:
    return _parse_url(text) is not None


def _is_template(text: str) -> bool:
    url = _parse_url(text)
    return url is not None and re.fullmatch(_BALANCED, url[1]) is not None


def _is_regex(text: str) -> bool:
    from tweed_shim.base import re2

    try:
        re2.compiled(text)
    except re2.BadPattern:
        return False
    return True


CHECKS: Mapping[str, Callable[[str], bool]] = {
    "date": partial(_is_date, _DATE),
    "time": _fits(f"{_TIME}{_ZONE}?"),
    "date-time": partial(_is_date, _DATE_TIME),
    "hostname": _is_hostname,
    "email": _is_email,
    "idn-email": _is_email,
    "ipv4": lambda text: "." in text and _is_ip(text),
    "ipv6": lambda text: ":" in text and _is_ip(text),
    "uri": _is_uri,
    "uri-reference": _is_reference,
    "iri": _is_uri,
    "iri-reference": _is_reference,
    "uri-template": _is_template,
    "uuid": _fits(_UUID),
    "regex": _is_regex,
    "json-pointer": _fits(_POINTER),
    "relative-json-pointer": _fits(_RELATIVE_POINTER),
}
"""For each format, the function that tells whether a text has it."""


def checker() -> "FormatChecker":
    """Return the FormatChecker for the validators of the library; see `jsonschema.value_faults`."""
    from jsonschema import FormatChecker

    formats = FormatChecker(formats=())
    for name, check in CHECKS.items():
        formats.checks(name)(partial(_has_format, check))
    return formats


def _has_format(check: Callable[[str], bool], value: object) -> bool:
    if isinstance(value, str):
        return check(value)
    return isinstance(value, bool) or not isinstance(value, int | float)

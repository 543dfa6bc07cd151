"""Check DNS names by Kubernetes' rules and with its messages, as the reference does.

Sources: RFC 1123, section 2.1, and RFC 1034, section 4.3.3 (wildcards).
"""

from __future__ import annotations

import re

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_WILDCARD = rf"\*\.{_SUBDOMAIN}"
_LONGEST_LABEL, _LONGEST_NAME = 63, 253
_ENDS = "and must start and end with an alphanumeric character"


def _objections(text: str, pattern: str, longest: int, rule: str, *examples: str) -> list[str]:
    found = []
    if len(text.encode("utf-8", "surrogatepass")) > longest:
        found.append(f"must be no more than {longest} characters")
    if not re.fullmatch(pattern, text):
        named = " or ".join([f"'{example}', " for example in examples])
        found.append(f"{rule} (e.g. {named}regex used for validation is '{pattern}')")
    return found


def label(text: str) -> list[str]:
    """Return what is wrong with a label."""
    rule = f"a DNS-1123 label must consist of lower case alphanumeric characters or '-', {_ENDS}"
    return _objections(text, _LABEL, _LONGEST_LABEL, rule, "my-name", "123-abc")


def subdomain(text: str) -> list[str]:
    """Return what is wrong with a name."""
    rule = f"a DNS-1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', {_ENDS}"
    return _objections(text, _SUBDOMAIN, _LONGEST_NAME, rule, "example.com")


def wildcard(text: str) -> list[str]:
    """Return what is wrong with a name that has to begin with `*.`."""
    rule = (
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of"
        " lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
    )
    return _objections(text, _WILDCARD, _LONGEST_NAME, rule, "*.example.com")

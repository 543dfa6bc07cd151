"""Timestamps of component descriptors (RFC 3339)."""

import re
from datetime import UTC, datetime, timedelta

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def parse(text: str) -> datetime:
    """Parse a time with its zone (RFC 3339). Raises ValueError."""
    if not _RFC_3339.fullmatch(text):
        raise ValueError(f"{text!r} is no time such as 2024-05-01T12:00:00Z")
    return datetime.fromisoformat(text.upper())


def normalised(text: str) -> str:
    """Return a time of RFC 3339 as the reference writes it: in UTC, rounded to seconds. Raises ValueError."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time without its zone")
    rounded = time + timedelta(microseconds=500_000)
    return rounded.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

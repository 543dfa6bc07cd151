"""Times in component descriptors."""

from datetime import UTC, datetime, timedelta


def normal(text: str) -> str:
    """A time of RFC 3339 as the reference writes it: in UTC, rounded to seconds. Raises ValueError."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time without its zone")
    rounded = time + timedelta(microseconds=500_000)
    return rounded.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

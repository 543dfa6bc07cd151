"""Sizes in bytes, as docker and podman write them: 512m is 512 MiB."""

from tweed_shim.letters import DIGITS, made_of

UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_NAMES = ((30, "GiB"), (20, "MiB"), (10, "KiB"))


def parse(text: str) -> int:
    """Return a number of bytes, more than 0. Raises ValueError, with a sentence for people."""
    number, unit = text.rstrip("bkmgBKMG"), text[len(text.rstrip("bkmgBKMG")) :].lower()
    if made_of(DIGITS, number) and unit in UNITS and len(number) < 20:
        size = int(number) * UNITS[unit]
        if size > 0:
            return size
    raise ValueError(f"{text!r} is no size; write a whole number of b, k, m or g, such as 512m")


def show(size: int) -> str:
    """Return a size for people, in the largest unit that it is a whole number of."""
    for bits, name in _NAMES:
        if size >= 1 << bits and size % (1 << bits) == 0:
            return f"{size >> bits} {name}"
    return f"{size} bytes"

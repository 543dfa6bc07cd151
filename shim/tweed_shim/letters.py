"""Of which letters a text is, without the import of `re`, which a warm `exec` has no time for."""

from collections.abc import Container

DIGITS = "0123456789"
LOWER = "abcdefghijklmnopqrstuvwxyz"
ALPHANUMERIC = LOWER + LOWER.upper() + DIGITS
HEXADECIMAL = DIGITS + "abcdef"


def made_of(letters: str, text: str) -> bool:
    """Whether a text has these letters only, and at least one."""
    return text != "" and not text.strip(letters)


def joined(letters: str, separators: Container[str], text: str) -> bool:
    """Whether a text is runs of letters, with one of the separators between each two of them."""
    a_letter = letters[0]
    between = text.translate(dict.fromkeys(map(ord, letters), a_letter)).split(a_letter)
    ends_in_letters = len(between) > 1 and not between[0] and not between[-1]
    return ends_in_letters and all(not each or each in separators for each in between)

"""Of which letters a text is, and what a terminal may see of it.

Without the import of `re`, which a warm `exec` has no time for.
"""

from collections.abc import Container

DIGITS = "0123456789"
LOWER = "abcdefghijklmnopqrstuvwxyz"
ALPHANUMERIC = LOWER + LOWER.upper() + DIGITS
HEXADECIMAL = DIGITS + "abcdef"
_MOST_DIGITS = 100
# Unicode: Cc but for the tab, Zl and Zp, and the property Bidi_Control.
_CONTROLS = (
    *range(9), *range(10, 0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F),
    *range(0x2066, 0x206A),
)  # fmt: skip
# They as escapes within JSON's texts and YAML's double quotes, which escape those below 0x20 themselves.
ESCAPES = {number: f"\\u{number:04x}" for number in _CONTROLS if number >= 0x7F}


def made_of(letters: str, text: str) -> bool:
    """Whether a text has these letters only, and at least one."""
    return text != "" and not text.strip(letters)


def decimal(text: str) -> int | None:
    """Return the number that a text of digits stands for; None for any other text, and beyond 64 bits.

    Digits are those of ASCII: str.isdigit and int take those of all alphabets, and not the very same ones. int() raises
    ValueError for more than 4300 digits.
    """
    if not made_of(DIGITS, text) or len(text) > _MOST_DIGITS:
        return None
    number = int(text)
    return number if number < 1 << 64 else None


def joined(letters: str, separators: Container[str], text: str) -> bool:
    """Whether a text is runs of letters, with one of the separators between each two of them."""
    a_letter = letters[0]
    between = text.translate(dict.fromkeys(map(ord, letters), a_letter)).split(a_letter)
    ends_in_letters = len(between) > 1 and not between[0] and not between[-1]
    return ends_in_letters and all(not each or each in separators for each in between)


def visible(text: str) -> str:
    """A text on one line, for a terminal: what would command it, or reorder what is read, is shown as an escape."""
    if text.isprintable():
        return text
    # Half a surrogate, as JSON can hold one, is a letter that no terminal can be sent.
    text = text.encode("utf-8", "backslashreplace").decode()
    return text.translate({number: ascii(chr(number))[1:-1] for number in _CONTROLS})


def quoted(text: str) -> str:
    """Return a text as a message quotes it. One with an '@' may be a URL with a password, and is not repeated."""
    return "(what is not repeated here, as it may hold a password)" if "@" in text else repr(text)

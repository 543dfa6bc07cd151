"""The signals that images name to be asked to end by: `SIGQUIT`, `quit`, `3`, `SIGRTMIN+3` (image-spec config.md)."""

from tweed_shim.base.lean import signal
from tweed_shim.base.text import DIGITS, made_of

_RANGES = {"RTMIN+": (signal.SIGRTMIN, 1), "RTMAX-": (signal.SIGRTMAX, -1)}


def parse(text: str) -> int | None:
    """Return the number of a signal, None where a text names none."""
    name = text.strip().upper().removeprefix("SIG")
    for prefix, (base, direction) in _RANGES.items():
        if name.startswith(prefix) and made_of(DIGITS, rest := name.removeprefix(prefix)):
            return _checked(int(base) + direction * int(rest), lowest=int(signal.SIGRTMIN))
    if made_of(DIGITS, name):
        return _checked(int(name))
    number = getattr(signal, f"SIG{name}", None) if name.isalnum() else None
    return _checked(int(number)) if isinstance(number, int) else None


def is_signal(value: object) -> bool:
    """Tell whether a value is the number of a signal."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= signal.SIGRTMAX


def _checked(number: int, *, lowest: int = 1) -> int | None:
    return number if is_signal(number) and number >= lowest else None

"""What a mistyped name of a command, an option or a choice was meant to be."""

from collections.abc import Iterable


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Return " (did you mean 'NAME'?)" for the name that resembles a word most, or nothing where none does."""
    from difflib import get_close_matches

    found = get_close_matches(word, names, 1)
    return f" (did you mean '{found[0]}'?)" if found else ""

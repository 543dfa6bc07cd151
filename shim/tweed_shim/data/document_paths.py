"""How messages name the values of a document, and how they list what is wrong with them."""

import json
import re
from collections.abc import Iterable, Sequence

Path = Iterable[str | int]

_MAX_PROBLEMS = 20
_MAX_KEY_CHARACTERS = 60
_SIMPLE_KEY = re.compile(rf"[A-Za-z0-9_$-]{{1,{_MAX_KEY_CHARACTERS}}}")


def path_name(path: Path) -> str:
    """Return a path for people, such as `inputs.ports[0]`.

    A key that is not a simple word is quoted; a long one is cut.
    """
    name = ""
    for key in path:
        if isinstance(key, int):
            name += f"[{key}]"
        elif _SIMPLE_KEY.fullmatch(key):
            name += f".{key}" if name else key
        else:
            cut = key if len(key) <= _MAX_KEY_CHARACTERS else f"{key[:_MAX_KEY_CHARACTERS]}..."
            name += f"[{json.dumps(cut)}]"
    return name or "the document"


def join_problems(problems: Sequence[str]) -> str:
    """Join problems into one sentence; of those beyond twenty, only the number is given."""
    more = len(problems) - _MAX_PROBLEMS
    return "; ".join([*problems[:_MAX_PROBLEMS], *([f"and {more} more"] if more > 0 else [])])

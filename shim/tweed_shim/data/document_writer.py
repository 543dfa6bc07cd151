"""Write data as YAML or JSON for people and programs: every reader, of YAML 1.1 or of YAML 1.2, reads it the same.

No control character that a terminal would obey is in the result.
"""

import json
import re
from typing import Any

from tweed_shim.base.text import ESCAPES

# What PyYAML does not quote by itself: numbers of YAML 1.2 (`0o17`, `1e3`), the booleans `y` and `n` of YAML 1.1, and
# characters that it writes verbatim although readers take them for line breaks.
_QUOTED = re.compile("^[-+.0-9]|^[yYnN]$|[\x85\u2028\u2029\ufeff]")


def to_json(value: Any) -> str:
    """Return a value as indented JSON, with a newline at the end."""
    return json.dumps(value, ensure_ascii=False, indent=2).translate(ESCAPES) + "\n"


def to_yaml(value: Any) -> str:
    """Return a value as YAML, with a newline at the end. Text of several lines is a block; keys keep their order."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """A dumper that writes text of several lines as a block, and no anchors."""

        def ignore_aliases(self, _: Any) -> bool:
            return True

    def represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        style = None
        if _QUOTED.search(text) or text != text.translate(ESCAPES):
            style = '"'
        elif "\n" in text:
            style = "|"
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, represent_text)
    text: str = yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)
    # A text with characters that are escaped here is in double quotes.
    return text.translate(ESCAPES)

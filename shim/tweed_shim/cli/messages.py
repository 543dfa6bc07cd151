"""The shim's own words: sentences on stderr, for people or as JSON lines."""

import os
import time
from collections.abc import Callable
from itertools import pairwise

from tweed_shim.base.lean import json
from tweed_shim.base.records import Record
from tweed_shim.base.text import visible


class Voice(Record):
    """How the shim speaks. level: -1 errors only, 0 what matters, 1 what it does; as_json: one object a line."""

    level: int = 0
    as_json: bool = False

    def error(self, text: str) -> None:
        """Say why the shim refused or failed."""
        self._say("error", text)

    def warn(self, text: str) -> None:
        """Say what the user should know."""
        if self.level >= 0:
            self._say("warning", text)

    @property
    def report(self) -> Callable[[str], None] | None:
        """What takes the steps of long work; None where the user wants to hear of errors only."""
        return self._step if self.level >= 0 else None

    def _step(self, text: str) -> None:
        self._say("info", text)

    def info(self, text: str) -> None:
        """Say what only the curious want to know."""
        if self.level >= 1:
            self._say("info", text)

    def _say(self, level: str, text: str) -> None:
        if self.as_json:
            moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            line = json.dumps({"time": moment, "level": level, "message": text})
        else:
            # Names of strangers are in it. Where it has further lines these begin with a tab, and so none of a
            # stranger's looks like a message.
            line = "\n\t".join(map(visible, f"tweed-shim: {text}".split("\n\t")))
        try:
            os.write(2, f"{line}\n".encode(errors="backslashreplace"))
        except OSError:
            return  # nobody listens; the exit code still tells


def foretold(argv: list[str]) -> Voice:
    """The voice for what is wrong with the command line itself: as it asks for, however wrong the rest of it is."""
    asked = "--log-format=json" in argv or ("--log-format", "json") in pairwise(argv)
    return Voice(as_json=asked)

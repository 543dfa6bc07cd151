"""Write the shim's own messages to stderr: sentences for people, or JSON lines."""

import os
import time
from collections.abc import Callable
from itertools import pairwise

from tweed_shim.base.lean import json
from tweed_shim.base.records import Record
from tweed_shim.base.text import visible


class Messages(Record):
    """The messages to the user. level: -1 errors only, 0 also warnings and steps, 1 all. as_json: one object a line."""

    level: int = 0
    as_json: bool = False

    def error(self, text: str) -> None:
        """Write an error."""
        self._say("error", text)

    def warn(self, text: str) -> None:
        """Write a warning."""
        if self.level >= 0:
            self._say("warning", text)

    @property
    def report(self) -> Callable[[str], None] | None:
        """The function that writes the steps of long work; None with --quiet."""
        return self._step if self.level >= 0 else None

    def _step(self, text: str) -> None:
        self._say("info", text)

    def info(self, text: str) -> None:
        """Write a detail, with -v only."""
        if self.level >= 1:
            self._say("info", text)

    def _say(self, level: str, text: str) -> None:
        if self.as_json:
            moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            line = json.dumps({"time": moment, "level": level, "message": text})
        else:
            # A message can contain text of an image. Its further lines begin with a tab, so that none of them looks
            # like a message of the shim.
            line = "\n\t".join(map(visible, f"tweed-shim: {text}".split("\n\t")))
        try:
            os.write(2, f"{line}\n".encode(errors="backslashreplace"))
        except OSError:
            return  # stderr is closed; the exit code still reports the error


def messages_for(argv: list[str]) -> Messages:
    """Return the messages for a command line that is not parsed yet, or cannot be, in the format that it names."""
    as_json = "--log-format=json" in argv or ("--log-format", "json") in pairwise(argv)
    return Messages(as_json=as_json)

import os
import re
import subprocess
import sys
import termios

import pytest

from tweed_shim.image import store

SHIM = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(store.__file__))))
CODE = """
import sys; sys.path[:0] = sys.argv[1].split(':')
from tweed_shim.image import progress
report = progress.silent if sys.argv[2] == 'silent' else print
with progress.shown(report, 'a layer', 3_000_000) as tell:
    for _ in range(3): tell(1_000_000)
    tell(-1_000_000)
    tell(1_000_000)
print('tqdm' in sys.modules)
"""


def shown(how: str, *, terminal: bool) -> tuple[str, str]:
    """What goes to stdout, and what to stderr, which is a terminal or a pipe."""
    ours, theirs = os.openpty() if terminal else os.pipe()
    if terminal:
        termios.tcsetwinsize(theirs, (24, 80))
    try:
        path = ":".join([SHIM, *filter(os.path.isdir, sys.path)])
        command = [sys.executable, "-I", "-c", CODE, path, how]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=theirs, text=True)
        # So that there is something to read even where nothing was shown.
        os.write(theirs, b"\n")
        return done.stdout, os.read(ours, 1 << 16).decode()
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_terminal_shows_a_bar_of_all_the_bytes() -> None:
    out, err = shown("aloud", terminal=True)
    assert "fetching a layer: " in err
    assert "/3.00M" in err
    assert out == "True\n"


def test_elsewhere_there_is_one_line_and_no_bar_is_imported() -> None:
    out, err = shown("aloud", terminal=False)
    assert re.fullmatch(r"fetched a layer, 3\.0 MB, in \d+\.\d s\nFalse\n", out)
    assert err == "\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_silent_report_shows_no_progress_bar(terminal: bool) -> None:
    out, err = shown("silent", terminal=terminal)
    assert (out, err.strip()) == ("False\n", "")

"""Run a command line in this process that is to be refused."""

import pytest

from tweed_shim.cli import main


def refusal(capfd: pytest.CaptureFixture[str], *words: str, code: int = 125) -> str:
    """Run a command line, and return the one line that refuses it."""
    result = main.main([*words])
    out, err = capfd.readouterr()
    assert (result, out) == (code, ""), (result, out, err)
    [line] = err.splitlines()
    return line

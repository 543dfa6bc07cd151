"""Runs a command line in this process that is to be refused."""

import pytest

from tweed_shim.cli import main


def refusal(capfd: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command line, and return the one line that refuses it."""
    code = main.main([*words])
    out, err = capfd.readouterr()
    assert (code, out) == (125, ""), (code, out, err)
    [line] = err.splitlines()
    return line

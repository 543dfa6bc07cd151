"""Check what a mode allows: files in "files" and "system", commands and the environment in "system" only."""

from __future__ import annotations

import os

from tweed_shim.base.settings import expand_home
from tweed_shim.errors import ConfigError
from tweed_shim.spiff.functions.registry import Call
from tweed_shim.spiff.tree.values import Fault

DENIED = "no OS operations supported in this execution environment"
"""The reason of a fault where the mode forbids a function."""


def need_files(call: Call, what: str) -> None:
    """Check that the mode allows files. Raises Fault."""
    if not call.files_allowed:
        raise Fault(f"{what}: {DENIED}")


def need_commands(call: Call, what: str) -> None:
    """Check that the mode allows commands and the environment. Raises Fault."""
    if not call.commands_allowed:
        raise Fault(f"{what}: {DENIED}")


def file_path(path: str) -> str:
    """Return a path whose leading `~/` is replaced by the home directory. Raises Fault where there is none."""
    try:
        return expand_home(path, os.environ)
    except ConfigError as error:
        raise Fault(str(error)) from None

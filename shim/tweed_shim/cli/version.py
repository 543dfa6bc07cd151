"""`version`: print the versions of the shim and of the programs that it runs."""

import platform
import sys

from tweed_shim._version import VERSION
from tweed_shim.cli import tables
from tweed_shim.cli.commands import Arguments, Context, Parser
from tweed_shim.host.programs import find_program


def configure_version(parser: Parser) -> None:
    """Add the options of `version`."""
    tables.configure(parser)


def _first_line(program: str) -> str:
    import subprocess

    path = find_program(program)
    if path is None:
        return "not installed"
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    lines = (done.stdout or done.stderr).splitlines()
    return lines[0].removeprefix(f"{program} version ") if lines else "unknown"


def version_command(arguments: Arguments, context: Context) -> int:
    """Print the versions."""
    versions = {
        "tweed-shim": VERSION,
        "python": f"{platform.python_version()} ({sys.executable})",
        context.settings.runtime: _first_line(context.settings.runtime),
        "umoci": _first_line("umoci"),
    }
    rows = [{"name": name, "version": version} for name, version in versions.items()]
    tables.show(rows, {"name": "PROGRAM", "version": "VERSION"}, as_json=arguments.json)
    return 0

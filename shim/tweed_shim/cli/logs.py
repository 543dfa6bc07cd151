"""`logs`: what the runs were, and what their images said."""

import os
import sys

from tweed_shim.cli import tables
from tweed_shim.cli.commands import Arguments, Context, Parser
from tweed_shim.errors import DamagedRecord
from tweed_shim.image import store
from tweed_shim.runtime import runs

COLUMNS = {
    "run": "RUN",
    "started": "STARTED",
    "image": "IMAGE",
    "operation": "OPERATION",
    "cloud": "CLOUD",
    "interaction": "INTERACTION",
    "state": "STATE",
    "exit_code": "EXIT",
}
SHOWN = 50
COPY = 1 << 20


def configure_logs(parser: Parser) -> None:
    """The options of `logs`."""
    tables.configure(parser)
    parser.add_argument(
        "run", nargs="?", metavar="RUN", help="show the log of this run, or with --json its record"
    )


def logs_command(arguments: Arguments, context: Context) -> int:
    """List the newest runs, or copy the log of one to stdout."""
    root = context.settings.root
    store.check_version(root)
    if arguments.run is None:
        found = runs.records(root, newest=SHOWN, warn=context.voice.warn)
        tables.show(found, COLUMNS, as_json=arguments.json)
        return 0
    run = runs.find(root, arguments.run)
    try:
        record = runs.read(run)
    except DamagedRecord as damage:
        if arguments.json:
            raise
        context.voice.warn(str(damage))
        record = {}
    if arguments.json:
        tables.show([record], COLUMNS, as_json=True)
        return 0
    if error := record.get("error"):
        context.voice.warn(f"run {arguments.run} failed: {error}")
    if not os.path.exists(run.log):
        context.voice.warn(f"the image of run {arguments.run} said nothing")
        return 0
    with open(run.log, "rb") as log:
        while data := log.read(COPY):
            sys.stdout.buffer.write(data)
    return 0

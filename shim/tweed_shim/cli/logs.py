"""`logs`: list the runs, show the log of one, or remove runs."""

import os
import sys

from tweed_shim.base.lean.typing import Any
from tweed_shim.cli import tables
from tweed_shim.cli.commands import Arguments, Context, Parser
from tweed_shim.errors import DamagedRecord, UsageError
from tweed_shim.image import store
from tweed_shim.runtime import runs
from tweed_shim.shim import Shim

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
MOST_LISTED = 50
LONGEST_IMAGE = 48
CHUNK = 1 << 20


def configure_logs(parser: Parser) -> None:
    """Add the options of `logs`."""
    tables.configure(parser)
    parser.intermixed = True
    parser.usage = "tweed-shim logs [--json] [RUN] | tweed-shim logs rm RUN... | tweed-shim logs rm --all"
    parser.add_argument(
        "run",
        nargs="?",
        metavar="RUN",
        complete="runs or rm",
        help="show the log of this run, or with --json its record; rm: remove runs instead",
    )
    parser.add_argument(
        "removed", nargs="*", metavar="RUN", complete="removed runs", help="rm: the runs to remove"
    )
    parser.add_argument("--all", action="store_true", help="rm: all runs that have ended")


def _remove(arguments: Arguments, context: Context) -> int:
    if arguments.removed and arguments.all:
        raise UsageError("'logs rm' takes the runs to remove or --all, not both; leave one of them out")
    if not arguments.removed and not arguments.all:
        raise UsageError("'logs rm' needs the runs to remove: name them, or give --all")
    shim = Shim(context.settings.root)
    shim.remove_logs(None if arguments.all else arguments.removed)
    return 0


def _list(records: list[dict[str, Any]], *, as_json: bool) -> None:
    rows = [{**each, "image": _short(each.get("image") or ""), "state": _state(each)} for each in records]
    tables.show(records if as_json else rows, COLUMNS, as_json=as_json)


def _state(record: dict[str, Any]) -> str:
    """Return the state for the table: a run that ended with 0 has failed where its result broke the contract."""
    return "result refused" if record["state"] == "ended" and record.get("error") else record["state"]


def _short(image: str) -> str:
    """Return the name of an image for the table: the end of a long one, which says the most."""
    name, at, digest = image.rpartition("@sha256:")
    if at:
        image = f"{name}{at}{digest[:12]}"
    return image if len(image) <= LONGEST_IMAGE else f"...{image[3 - LONGEST_IMAGE :]}"


def logs_command(arguments: Arguments, context: Context) -> int:
    """List the newest runs, copy the log of one to stdout, or remove runs."""
    if arguments.run == "rm":
        return _remove(arguments, context)
    if arguments.removed or arguments.all:
        raise UsageError("only 'logs rm' takes several runs, or --all; 'logs RUN' shows one")
    root = context.settings.root
    store.check_version(root)
    if arguments.run is None:
        _list(runs.records(root, newest=MOST_LISTED, warn=context.messages.warn), as_json=arguments.json)
        return 0
    run = runs.find(root, arguments.run)
    try:
        record = runs.read(run)
    except DamagedRecord as damage:
        if arguments.json:
            raise
        context.messages.warn(str(damage))
        record = {}
    if arguments.json:
        tables.show([record], COLUMNS, as_json=True)
        return 0
    if error := record.get("error"):
        context.messages.warn(f"run {arguments.run} failed: {error}")
    if not os.path.exists(run.log):
        context.messages.warn(f"the image of run {arguments.run} wrote nothing to its log")
        return 0
    with open(run.log, "rb") as log:
        while data := log.read(CHUNK):
            sys.stdout.buffer.write(data)
    return 0

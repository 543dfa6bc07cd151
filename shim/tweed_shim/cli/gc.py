"""`gc`: remove from the store what nothing uses."""

import json
import sys

from tweed_shim import gc
from tweed_shim.base.records import fields
from tweed_shim.cli import run_options, tables
from tweed_shim.cli.commands import Arguments, Context, Parser, number
from tweed_shim.image.store import megabytes


def _size(text: str) -> int:
    return 0 if text == "0" else run_options.size(text)


def configure_gc(parser: Parser) -> None:
    """Add the options of `gc`."""
    tables.configure(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be removed, and remove nothing"
    )
    parser.add_argument(
        "--keep-last",
        metavar="N",
        type=number(int, gc.KEPT_IMAGES),
        default=0,
        help="keep the newest N of the images that nothing uses (default: 0)",
    )
    parser.add_argument(
        "--keep-logs",
        metavar="SIZE",
        type=_size,
        default=gc.KEEP_LOGS,
        help="keep the newest logs that take so much together, such as 100m, or 0 (default: 16m)",
    )


def gc_command(arguments: Arguments, context: Context) -> int:
    """Remove what nothing uses, and print each item after its removal."""
    removed: list[gc.Removed] = []
    messages = context.messages
    try:
        for each in gc.collect(
            context.settings.root,
            keep_last=arguments.keep_last,
            keep_logs=arguments.keep_logs,
            dry_run=arguments.dry_run,
            warn=messages.warn,
        ):
            removed.append(each)
            if not arguments.json:
                sys.stdout.write(f"{each.kind:9}  {megabytes(each.size):>10}  {each.name}\n")
                sys.stdout.flush()
    finally:
        if arguments.json:
            sys.stdout.write(json.dumps([fields(each) for each in removed], indent=2) + "\n")
    room = megabytes(sum(each.size for each in removed))
    messages.warn(f"{room} would be freed" if arguments.dry_run else f"{room} freed")
    return 0

"""Print a list as a table or as JSON."""

import json
import sys
from collections.abc import Mapping, Sequence

from tweed_shim.base.text import visible
from tweed_shim.cli.commands import Parser


def configure(parser: Parser) -> None:
    """Add the option that every list has."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def show(rows: Sequence[Mapping[str, object]], columns: Mapping[str, str], *, as_json: bool) -> None:
    """Print rows, whose text may come from an image, as a table or as JSON.

    columns: the key of each column and its heading; JSON has all keys.
    """
    if as_json:
        sys.stdout.write(json.dumps(list(rows), indent=2) + "\n")
        return
    cells = [list(columns.values()), *([visible(_cell(row.get(key))) for key in columns] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def show_one(record: Mapping[str, object]) -> None:
    """Print one record as JSON."""
    sys.stdout.write(json.dumps(record, indent=2) + "\n")


def show_fields(values: Mapping[str, object]) -> None:
    """Print values, whose text may come from an image, one on a line after its title."""
    width = max(map(len, values))
    for title, value in values.items():
        sys.stdout.write(f"{title:{width}}  {visible(_cell(value))}\n")

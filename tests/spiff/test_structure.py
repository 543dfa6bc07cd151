"""The floors of spiff's rooms. tests/test_structure.py holds those of the whole package, and finds circles."""

import ast
from pathlib import Path

import pytest

from tweed_shim import spiff

PACKAGE = "tweed_shim.spiff"
SOURCE = Path(spiff.__file__).parent
# From the ground up: a module or a room of spiff imports from floors below its own.
FLOORS = (
    ("failures",),
    ("recursion", "tree"),
    ("functions",),
    ("expressions",),
    ("syntax",),
    ("flow",),
    ("merging",),
    ("template_worker",),
    ("__init__",),
)
FLOOR_OF = {name: number for number, names in enumerate(FLOORS) for name in names}
MODULES = {".".join(path.relative_to(SOURCE).with_suffix("").parts): path for path in SOURCE.rglob("*.py")}


def room(module: str) -> str:
    """The module or the room of spiff that a module belongs to."""
    return module.partition(".")[0]


def imported_rooms(path: Path) -> set[str]:
    """The rooms of spiff that a file imports, also within functions and for type checkers."""
    names = set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {room(name.removeprefix(f"{PACKAGE}.")) for name in names if name.startswith(f"{PACKAGE}.")}


def test_every_room_is_on_a_floor() -> None:
    assert {room(module) for module in MODULES} == FLOOR_OF.keys()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_from_floors_below(module: str) -> None:
    own = room(module)
    others = imported_rooms(MODULES[module]) - {own}
    assert {other for other in others if FLOOR_OF[other] >= FLOOR_OF[own]} == set()

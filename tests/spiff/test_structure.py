"""The rooms of spiff: imports point downwards only, and no module imports itself through others."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tweed_shim import spiff

ROOT = Path(spiff.__file__).parent
PACKAGE = "tweed_shim.spiff"
# A module or a folder of spiff, and its floor: it imports what is on its own floor only from within itself.
FLOORS = {
    "failures": 0,
    "recursion": 1,
    "tree": 1,
    "functions": 2,
    "expressions": 3,
    "syntax": 4,
    "flow": 5,
    "merging": 6,
    "template_worker": 7,
    "__init__": 8,
}
# Modules of the package below spiff that spiff may import.
BELOW = ("base", "data", "errors", "host", "http")


def modules() -> dict[str, Path]:
    """The modules of spiff by their dotted names."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join((PACKAGE, *(part for part in parts if part != "__init__")))] = path
    return found


MODULES = modules()


def imported(path: Path) -> set[str]:
    """What a module imports of tweed_shim, anywhere in its text: within functions and for types, too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            within = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in MODULES else node.module for name in within}
    return {name for name in names if name.startswith("tweed_shim")}


def room(module: str) -> str:
    """The module or folder of spiff that a module belongs to."""
    below = module.removeprefix(PACKAGE).lstrip(".")
    return below.partition(".")[0] or "__init__"


def test_every_module_belongs_to_a_room() -> None:
    assert {room(module) for module in MODULES} == set(FLOORS)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_downwards(module: str) -> None:
    upwards = {
        name
        for name in imported(MODULES[module])
        if name in MODULES and room(name) != room(module) and FLOORS[room(name)] >= FLOORS[room(module)]
    }
    assert not upwards


@pytest.mark.parametrize("module", sorted(MODULES))
def test_spiff_knows_nothing_of_images_and_runs(module: str) -> None:
    others = {name.removeprefix("tweed_shim.") for name in imported(MODULES[module]) if name not in MODULES}
    assert not {name for name in others if name.partition(".")[0] not in BELOW}


def test_no_module_imports_itself_through_others() -> None:
    # Raises CycleError, which names the modules of a circle.
    TopologicalSorter({module: imported(path) for module, path in MODULES.items()}).prepare()

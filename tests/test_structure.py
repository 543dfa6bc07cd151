"""The floors of the package: a module imports from floors below its own, and no circle is anywhere.

docs/architecture.md says what each room is for. Imports within functions and those for type checkers count, too.
"""

import ast
from pathlib import Path

import pytest

import tweed_shim

PACKAGE = "tweed_shim"
SOURCE = Path(tweed_shim.__file__).parent
# From the ground up. A name is a module, or a room with all that is in it unless a longer name is in the table as well.
FLOORS = (
    ("base.lean", "_version"),
    ("errors",),
    ("base",),
    ("host", "http"),
    ("data",),
    ("image", "runtime", "spiff"),
    ("ocm", "runner"),
    ("toi", "tweed"),
    ("doctor", "fsck", "gc"),
    ("shim",),
    ("cli",),
    ("__main__",),
)
FLOOR_OF = {name: number for number, names in enumerate(FLOORS) for name in names}
# `import tweed_shim` offers the API; nothing within the package imports that, but for the command line.
TOP = "__init__"


def modules() -> dict[str, Path]:
    """The modules of the package without its own name: `runtime.spec`, and `runtime` for its `__init__`."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name or TOP] = path
    return found


MODULES = modules()


def imports(path: Path) -> set[str]:
    """The modules of the package that a file imports, wherever it does."""
    found = set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    names = {name.removeprefix(f"{PACKAGE}.") for name in found if name.startswith(f"{PACKAGE}.")}
    # A room is imported by name only where none of its modules is meant.
    return {
        name
        for name in names & MODULES.keys()
        if not any(other.startswith(f"{name}.") for other in names & MODULES.keys())
    }


IMPORTS = {name: imports(path) - {name} for name, path in MODULES.items() if name != TOP}


def room(module: str) -> str:
    """The longest name of the table that a module belongs to."""
    parts = module.split(".")
    names = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return next(name for name in names if name in FLOOR_OF)


def test_every_module_is_on_a_floor() -> None:
    homeless = [
        name for name in IMPORTS if not any(name == each or name.startswith(f"{each}.") for each in FLOOR_OF)
    ]
    assert homeless == []


@pytest.mark.parametrize("module", sorted(IMPORTS))
def test_a_module_imports_only_from_floors_below(module: str) -> None:
    own = room(module)
    wrong = [
        other for other in IMPORTS[module] if room(other) != own and FLOOR_OF[room(other)] >= FLOOR_OF[own]
    ]
    assert wrong == []


def test_no_module_imports_itself_through_others() -> None:
    circles = []
    finished = set[str]()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circles.append((*path[path.index(name) :], name))
        elif name not in finished:
            for other in sorted(IMPORTS.get(name, ())):
                visit(other, (*path, name))
            finished.add(name)

    for name in sorted(IMPORTS):
        visit(name, ())
    assert circles == []

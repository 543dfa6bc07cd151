"""How a message names an option: `--replace` on the command line, `replace=True` for a caller of the Python API.

A message that names an option of this program gets it from `option`. A whole command (`tweed-shim fsck --repair`) is
the same for both, and is written out. On the path of a warm `exec`: it imports little.
"""

from collections.abc import Iterator
from contextlib import contextmanager

# Options whose argument in the Python API has another name.
_ARGUMENTS = {
    "--allow-verb": "allow_verbs",
    "--lookup": "lookups",
    "--ocmconfig": "ocm_config",
    "--repo": "repository",
}
# Flags that are a value of another argument there.
_VALUES = {"--no-backend": "cloud=None"}
_FLAGS = frozenset(("--insecure", "--overwrite", "--read-only", "--replace", "--trust-templates", "--userns"))
_LISTS = frozenset(("--allow", "--allow-verb", "--cap-add", "--cap-drop", "--lookup"))

_is_command_line = False


@contextmanager
def command_line() -> Iterator[None]:
    """Let messages within the block speak of options: the caller is the command line."""
    global _is_command_line
    before, _is_command_line = _is_command_line, True
    try:
        yield
    finally:
        _is_command_line = before


def option(name: str, value: str = "") -> str:
    """Return how the caller gives an option a value, on the command line or in Python.

    name: the option of the command line, such as `--platform`. Without a value the reader chooses one.
    """
    if _is_command_line:
        return f"{name} {value}".rstrip()
    if name in _VALUES:
        return _VALUES[name]
    argument = bare(name)
    if name in _FLAGS:
        return f"{argument}=True"
    if name in _LISTS:
        return f"{argument}=[{value!r}]" if value else f"{argument}=[...]"
    return f"{argument}={value!r}" if value else f"{argument}=..."


def bare(name: str) -> str:
    """Return an option's name alone, `--cpus`, or that of its argument, `cpus`."""
    if _is_command_line:
        return name
    return _ARGUMENTS.get(name, name.removeprefix("--").replace("-", "_"))

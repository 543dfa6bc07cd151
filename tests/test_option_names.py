"""Messages name an option as their reader writes it: `--replace` on the command line, `replace=True` in Python."""

import ast
import glob
import os
import re
from collections.abc import Iterator

import pytest

import tweed_shim
from script_images import METADATA, ScriptImage
from tweed_shim import Shim as Api
from tweed_shim.base import option_names
from tweed_shim.cli import main
from tweed_shim.errors import ShimError
from tweed_shim.tweed.operation_runner import Options

PACKAGE = os.path.dirname(tweed_shim.__file__)
OPTION = re.compile(r"(?:^|[\s('\"])(--[a-z][a-z-]+)")
# Commands in which options stand as they have to be typed, of this program and of others.
COMMAND = re.compile(
    r"tweed-shim \w+[^;]*|docker[^;)]*|\(podman\)|systemd-run.*|mount --rbind|--security-opt\S* \S+|unshare -r.*"
)
# cli/ speaks to the command line only, and doctor/ to who types what it advises.
ROOMS_OF_THE_COMMAND_LINE = ("cli", "doctor")
# What tells of other programs (PyInstaller's option; ocm's), and the text that `toi describe` prints.
OTHERS = {
    "host/interpreter.py": {"--collect-all"},
    "ocm/access_methods.py": {"--copy-resources"},
    "runtime/cgroups.py": {"--scope", "--property"},
    "toi/description.py": {"--json"},
    "toi/executor.py": {"--copy-resources"},
    "tweed/cloud_errors.py": {"--cloud", "--config", "--interaction"},
    "tweed/command_lines.py": {"--binding", "--cloud", "--instance", "--interaction"},
    "tweed/instance_errors.py": {"--cloud", "--config"},
}


def _texts(tree: ast.AST) -> Iterator[str]:
    """The texts of a module that may be messages: all but docstrings, and words without a blank."""
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and id(node) not in documentation and " " in text.strip():
            yield text


def test_no_message_below_the_command_line_spells_an_option_out() -> None:
    spelled = []
    for path in glob.glob(f"{PACKAGE}/**/*.py", recursive=True):
        name = os.path.relpath(path, PACKAGE)
        if name.split(os.sep)[0] in ROOMS_OF_THE_COMMAND_LINE:
            continue
        with open(path, encoding="utf-8") as file:
            tree = ast.parse(file.read())
        spelled += [
            (name, option)
            for text in _texts(tree)
            for option in OPTION.findall(COMMAND.sub("", text))
            if option not in OTHERS.get(name, ())
        ]
    assert spelled == []


@pytest.mark.parametrize(
    ("option", "value", "typed", "argument"),
    [
        ("--replace", "", "--replace", "replace=True"),
        ("--root", "", "--root", "root=..."),
        ("--pull", "never", "--pull never", "pull='never'"),
        ("--keep-limit", "", "--keep-limit", "keep_limit=..."),
        ("--cap-add", "NET_RAW", "--cap-add NET_RAW", "cap_add=['NET_RAW']"),
        ("--ocmconfig", "", "--ocmconfig", "ocm_config=..."),
        ("--no-backend", "", "--no-backend", "cloud=None"),
    ],
)
def test_an_option_is_named_for_its_reader(option: str, value: str, typed: str, argument: str) -> None:
    assert option_names.option(option, value) == argument
    with option_names.command_line():
        assert option_names.option(option, value) == typed
    assert option_names.option(option, value) == argument


def test_the_same_refusal_speaks_of_arguments_in_python_and_of_options_on_the_command_line(
    script_image: ScriptImage, tmp_path: os.PathLike[str], capfd: pytest.CaptureFixture[str]
) -> None:
    image = script_image(f"case $1 in metadata) {METADATA} ;; setup) echo 'A: b' ;; esac")
    root = os.path.join(tmp_path, "store")
    backend = Api(root).backend(image, options=Options(network="none"))
    backend.configure({})
    backend.setup()
    with pytest.raises(ShimError, match=r"or set it up again with replace=True$"):
        backend.setup()
    assert main.main(["--root", root, "exec", image, "setup"]) == 125
    assert capfd.readouterr().err.endswith("or set it up again with --replace\n")

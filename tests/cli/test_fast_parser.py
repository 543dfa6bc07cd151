"""The parser of plain command lines agrees with argparse."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tweed_shim.cli.commands import COMMANDS, parse_with
from tweed_shim.cli.fast_parser import FastParser, Unclear
from tweed_shim.cli.parser import ArgparseParser
from tweed_shim.errors import UsageError

OPTIONS = (
    *(
        "--root",
        "--runtime",
        "-v",
        "-q",
        "--verbose",
        "--log-format",
        "--trace",
        "--cloud",
        "--interaction",
        "--pull",
    ),
    *(
        "--platform",
        "--insecure",
        "--timeout",
        "--memory",
        "--cpus",
        "--pids",
        "--cap-add",
        "--cap-drop",
        "--seccomp",
    ),
    *(
        "--config",
        "--replace",
        "--format",
        "--network",
        "--json",
        "--dry-run",
        "--keep-last",
        "--all",
        "--username",
    ),
    *(
        "--password-stdin",
        "--help",
        "--version",
        "--parameters",
        "-p",
        "-c",
        "-o",
        "--create-env",
        "--nothing",
        "--",
    ),
)
VALUES = (
    "",
    "-",
    "-1",
    "1",
    "2.5",
    "512m",
    "json",
    "yaml",
    "none",
    "NET_RAW",
    "a b",
    "-a b",
    "setup",
    "x=y",
    "=",
)

commands = st.sampled_from(
    [
        word
        for name, command in COMMANDS.items()
        for word in ([f"{name} {part}" for part in command.subcommands] or [name])
    ]
)
pieces = st.one_of(
    st.sampled_from(OPTIONS),
    st.sampled_from(VALUES),
    st.builds("{}={}".format, st.sampled_from(OPTIONS), st.sampled_from(VALUES)),
    st.text(max_size=3),
)
few = st.lists(pieces, max_size=6)


def read(kind: type[Any], argv: list[str]) -> tuple[dict[str, Any], Any]:
    arguments, call = parse_with(kind, argv)
    return vars(arguments), call


@given(st.lists(st.sampled_from(("-v", "--root=/r", "--log-format=json")), max_size=2), commands, few)
@example(
    [],
    "exec",
    ["image", "setup", "--network", "none", "--cap-add", "NET_RAW", "--cap-add=ALL", "--memory=1g"],
)
@example(["-v"], "exec", ["image", "-q", "metadata", "--format=json", "--timeout", "1.5"])
@example([], "toi bootstrap", ["install", "x", "--dry-run", "--create-env", "d"])
@example([], "toi bootstrap", ["install", "x", "a=b", "-v", "c", "--pull=never", "d=e"])
@example([], "spiff merge", ["--json", "a", "b", "-v", "c"])
def test_a_plain_command_line_is_read_as_argparse_reads_it(
    before: list[str], command: str, after: list[str]
) -> None:
    argv = [*before, *command.split(), *after]
    try:
        found = read(FastParser, argv)
    except Unclear:
        return
    assert found == read(ArgparseParser, argv)


@pytest.mark.parametrize(
    "line",
    [
        "exec image setup",
        "exec --cloud c image -v setup --interaction=i --replace --network none --timeout 3 --memory 1m --pids 5",
        "--root r exec image configure --config - --cap-add NET_RAW --cap-drop ALL --read-only",
        "spec image setup --platform linux/arm64",
        "gc --dry-run --keep-last 3",
        "-q doctor --json",
        "toi bootstrap install archive//component:1 -p parameters --credentials=c --outputs o",
        "toi bootstrap install component platform=aws --timeout 3 name",
        "ocm download component name -O file version=1",
        "spiff merge template --json stub another",
        "clouds",
    ],
)
def test_ordinary_command_lines_are_plain(line: str) -> None:
    assert read(FastParser, line.split()) == read(ArgparseParser, line.split())


@pytest.mark.parametrize(
    "line",
    [
        "",
        "--help",
        "exec --help",
        "--version",
        "nothing",
        "exec image",
        "exec image setup again",
        "exec image setup --nothing",
        "exec image setup --cloud",
        "exec image setup --cloud -v",
        "exec image setup --replace=yes",
        "exec image setup --memory lots",
        "exec image setup --network other",
        "exec image -vq setup",
        "toi bootstrap install component --dry-run --create-env directory",
    ],
)
def test_messages_about_a_command_line_are_left_to_argparse(line: str) -> None:
    with pytest.raises(Unclear):
        parse_with(FastParser, line.split())
    if "vq" not in line:
        with pytest.raises((UsageError, SystemExit)):
            parse_with(ArgparseParser, line.split())


@pytest.mark.parametrize(
    ("line", "missing"),
    [("toi bootstrap x", "COMPONENT"), ("ocm download x -O y", "NAME"), ("spiff merge", "TEMPLATE")],
)
def test_optional_arguments_are_not_reported_as_missing(line: str, missing: str) -> None:
    with pytest.raises(UsageError, match=f"the following arguments are required: {missing}; "):
        parse_with(ArgparseParser, line.split())


@pytest.mark.parametrize("option", ["-p", "-c"])
def test_files_that_are_written_are_named(option: str) -> None:
    with pytest.raises(
        UsageError, match="the files cannot be written to stdout, where their paths are printed: name a file"
    ):
        parse_with(ArgparseParser, ["toi", "config", "x", option, "-"])
    arguments, _ = parse_with(ArgparseParser, ["toi", "config", "x"])
    assert (arguments.parameters, arguments.credentials) == ("TOIParameters", "TOICredentials")


@pytest.mark.parametrize(
    "line", ["--help", "toi --help", "ocm --help", "exec --help", "toi bootstrap --help"]
)
def test_the_help_lists_arguments_without_internals(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_with(ArgparseParser, line.split())
    output = capsys.readouterr().out
    assert output.startswith("usage: tweed-shim")
    assert "SUPPRESS" not in output
    assert "rest" not in output.split()

"""`help`, the examples and exit codes of every help, and what a mistyped word was meant to be."""

import io
import re
import shlex
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from cli_refusals import refusal
from installed import PROJECT
from tweed_shim.cli import declarations, examples
from tweed_shim.cli.commands import COMMANDS, parse_with
from tweed_shim.cli.main import main
from tweed_shim.cli.parser import ArgparseParser

EVERY_HELP = ["", *COMMANDS, *(" ".join(words) for words in declarations.all_commands() if len(words) > 1)]


def help_of(command: str) -> str:
    shown = io.StringIO()
    with redirect_stdout(shown), pytest.raises(SystemExit) as ended:
        parse_with(ArgparseParser, [*command.split(), "--help"])
    assert ended.value.code == 0
    return shown.getvalue()


@pytest.mark.parametrize("command", EVERY_HELP)
def test_help_prints_what_the_option_prints(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["help", *command.split()]) == 0
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == (help_of(command), "")


@pytest.mark.parametrize("command", EVERY_HELP)
def test_every_help_ends_with_two_examples_and_the_exit_codes(command: str) -> None:
    first, second = examples.EXAMPLES[command]
    end = help_of(command).partition("\nexamples:\n")[2]
    assert end.startswith(f"  {first}\n  {second}\n\nexit codes:\n  0      done\n")
    codes = dict(line.split(maxsplit=1) for line in end.partition("exit codes:\n")[2].splitlines())
    assert codes == dict(examples.exit_codes(command))
    assert {"0", "2", "125", "128+N"} <= codes.keys()


@pytest.mark.parametrize("line", [each for pair in examples.EXAMPLES.values() for each in pair])
def test_an_example_is_a_command_line(line: str) -> None:
    program, *words = shlex.split(re.sub(r" [<>] \S+$", "", line))
    assert program == "tweed-shim"
    parse_with(ArgparseParser, words)


def test_an_example_is_one_of_its_command() -> None:
    for command, lines in examples.EXAMPLES.items():
        for line in lines:
            words = [word for word in shlex.split(line)[1:] if word not in ("--root", "/srv/store")]
            assert words[: len(command.split())] == command.split()
    assert set(examples.EXAMPLES) == set(EVERY_HELP)


def test_the_document_has_the_exit_codes_of_every_help() -> None:
    document = Path(PROJECT, "docs/using.md").read_text()
    for command in EVERY_HELP:
        for code, _ in examples.exit_codes(command):
            assert f"| {'the image' if code == 'other' else code}" in document


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["exce"], "there is no command 'exce' (did you mean 'exec'?); see 'tweed-shim --help'"),
        (
            ["toi", "boot"],
            "there is no command 'boot' (did you mean 'bootstrap'?); see 'tweed-shim toi --help'",
        ),
        (["zzz"], "there is no command 'zzz'; see 'tweed-shim --help'"),
        (["help", "exce"], "there is no command 'exce' (did you mean 'exec'?); see 'tweed-shim --help'"),
        (["help", "ps"], "there is no command 'ps': use tweed-shim logs; see 'tweed-shim logs --help'"),
        (["help", "gc", "x"], "'help' takes a command and its subcommand; see 'tweed-shim help'"),
        (["help", "toi", "config", "x"], "'help' takes a command and its subcommand; see 'tweed-shim help'"),
        (
            ["exec", "x", "setpu"],
            "OPERATION cannot be 'setpu' (did you mean 'setup'?); choose one of metadata, configure, check, setup, "
            "teardown, provision, bind, unbind, deprovision; see 'tweed-shim exec --help'",
        ),
        (
            ["spec", "x", "zzz"],
            "OPERATION cannot be 'zzz'; choose one of metadata, configure, check, setup, teardown, provision, bind, "
            "unbind, deprovision; see 'tweed-shim spec --help'",
        ),
        (
            ["exec", "x", "setup", "--clod", "prod"],
            "unknown option --clod (did you mean '--cloud'?); see 'tweed-shim exec --help'",
        ),
        (["gc", "--zzz=secret"], "unknown option --zzz; see 'tweed-shim gc --help'"),
        (["--rot", "x", "gc"], "unknown option --rot (did you mean '--root'?); see 'tweed-shim --help'"),
        (
            ["doctor", "--log-format", "jsno"],
            "--log-format cannot be 'jsno' (did you mean 'json'?); choose one of text, json; "
            "see 'tweed-shim doctor --help'",
        ),
        (
            ["clouds", "remove"],
            "ACTION cannot be 'remove'; choose one of rm, forget; see 'tweed-shim clouds --help'",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistyped_word_is_a_usage_error_that_says_what_was_meant(
    words: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert refusal(capfd, *words, code=2) == f"tweed-shim: {message}"

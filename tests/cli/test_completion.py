"""`completion`: real shells complete command lines, with what the parsers declare and with names from the store."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts import Account
from installed import SYSTEM_PATH, Shim, fresh_shim
from layouts import build_layout
from leftovers import work_directory
from script_images import METADATA
from terminals import press
from tweed_shim.cli import completion, completion_scripts, declarations
from tweed_shim.cli.completion_values import BY_METAVAR, SOURCES

BACKEND = f"case $1 in metadata) {METADATA} ;; setup) echo 'A: x' ;; esac"
PATTERN = """case $1 in
metadata) printf 'pattern: tweed/v1\\nname: n\\nversion: v\\n' ;;
provision) echo x >$OUTPUTS/kubeconfig ;;
bind) echo 'a: 1' ;;
esac"""
# Keys: Control-X d writes the line to the file and ends the shell.
WRITE = "\x18d"
BASH = """
source <(tweed-shim completion bash)
write() { printf %s "$READLINE_LINE" >"$WRITTEN"; kill -9 $$; }
bind -x '"\\C-xd": write'
PS1='READY> '
"""
ZSH = """
autoload -Uz compinit && compinit -u -D
source <(tweed-shim completion zsh)
write() { print -rn -- "$BUFFER" >"$WRITTEN"; kill -9 $$ }
zle -N write
bindkey '^Xd' write
PS1='READY> '
"""


@pytest.fixture(scope="module")
def store(accounts: dict[str, Account], program: str) -> Iterator[tuple[Shim, str]]:
    """A store with a name of each kind; and a directory with two images, a file and a directory."""
    with work_directory() as path, fresh_shim(accounts["root"], program) as shim:
        for name, script in (("backend", BACKEND), ("pattern", PATTERN)):
            build_layout(f"{path}/{name}", files={"entrypoint": f"#!/bin/sh\n{script}\n"}, compression="none")
        Path(path, "a file.json").write_text("{}")
        Path(path, "configuration.json").write_text("{}")
        backend, pattern = f"oci:{path}/backend", f"oci:{path}/pattern"
        for words in (
            ("exec", backend, "configure", "--cloud", "prod"),
            ("exec", backend, "configure", "--cloud", "staging"),
            ("exec", backend, "setup", "--cloud", "prod", "--interaction", "shop"),
            ("exec", pattern, "provision", "--instance", "web", "--no-backend"),
            ("exec", pattern, "bind", "--instance", "web", "--binding", "app"),
        ):
            done = shim.run(*words, stdin=b"{}")
            assert done.code == 0, done
        yield shim, path


def ask(store: tuple[Shim, str], *words: str) -> list[str]:
    """The values that are proposed for the last word."""
    shim, _ = store
    done = subprocess.run(
        [shim.program, "__complete", *words],
        env=shim.environment() | {"TWEED_SHIM_ROOT": shim.root},
        cwd=store[1],
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    kind, *lines = done.stdout.decode().splitlines()
    return [line.partition("\t")[0] for line in lines] if kind == completion.VALUES else [f"({kind})"]


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["ex"], ["exec"]),
        (["-q", "--log-format", "json", "doct"], ["doctor"]),
        (["toi", ""], ["bootstrap", "config", "describe"]),
        (["spiff", "process", "a", "--preserve-t"], ["--preserve-temporary"]),
        (["exec", "x", "se"], ["setup"]),
        (["exec", "x", "setup", "--pull", ""], ["always", "missing", "never"]),
        (["exec", "x", "setup", "--pull=n"], ["--pull=never"]),
        (["exec", "x", "setup", "--cloud", ""], ["prod", "staging"]),
        (["exec", "x", "setup", "--cloud=s"], ["--cloud=staging"]),
        (["exec", "x", "setup", "--cloud", "prod", "--interaction", ""], ["shop"]),
        (["exec", "x", "setup", "--cloud", "staging", "--interaction", ""], []),
        (["environment", "--cloud=prod", "--interaction", "s"], ["shop"]),
        (["exec", "x", "bind", "--instance", ""], ["web"]),
        (["exec", "x", "bind", "--instance", "web", "--binding", ""], ["app"]),
        (["exec", "x", "bind", "--binding", ""], []),
        (["exec", "x", "setup", "--cap-add", "NET_R"], ["NET_RAW"]),
        (["exec", "x", "configure", "--config", ""], ["(files)"]),
        (["exec", "x", "configure", "--config=conf"], ["--config=configuration.json"]),
        (["exec", "x", "setup", "--scratch", ""], ["(directories)"]),
        (["exec", "x", "setup", "--scratch=b"], ["--scratch=backend/"]),
        (["--root", ""], ["(directories)"]),
        (["exec", "docker-a"], ["docker-archive:"]),
        (["exec", "oci-archive:c"], ["oci-archive:configuration.json"]),
        (["exec", "oci:b"], ["oci:backend/"]),
        (["clouds", ""], ["rm", "forget"]),
        (["clouds", "rm", "staging", "p"], ["prod"]),
        (["clouds", "forget", ""], ["prod", "staging"]),
        (["clouds", "forget", "prod", ""], ["shop"]),
        (["clouds", "forget", "prod", "shop", ""], []),
        (["instances", "show", ""], ["web"]),
        (["instances", "files", "web", ""], ["kubeconfig"]),
        (["instances", "credentials", "web", ""], ["app"]),
        (["instances", "--json", "credentials", "web", "app", ""], []),
        (["logs", ""], ["rm", "7", "6", "5", "4", "3", "2", "1"]),
        (["logs", "7", ""], []),
        (["logs", "rm", "1", "2", ""], ["7", "6", "5", "4", "3", "2", "1"]),
        (["spiff", "merge", "a", "b", ""], ["(files)"]),
        (["spiff", "merge", "--path", ""], []),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["doctor", ""], []),
        (["nosuch", ""], []),
        (["nosuch", "--"], []),
        (["toi", "nosuch", "x", "--"], []),
        (["exec", "x", "setup", "--nosuch", ""], []),
    ],
    ids=" ".join,
)
def test_what_fits_is_proposed(store: tuple[Shim, str], words: list[str], values: list[str]) -> None:
    assert ask(store, *words) == values


def test_images_of_the_store_are_proposed_and_transports_where_one_may_be_pulled(
    store: tuple[Shim, str],
) -> None:
    images = [f"oci:{store[1]}/backend", f"oci:{store[1]}/pattern"]
    assert ask(store, "rm", "") == images
    assert ask(store, "rm", f"oci:{store[1]}/b") == images[:1]
    assert ask(store, "pull", "x", "") == [*images, "oci:", "oci-archive:", "docker-archive:"]


def test_every_option_of_every_command_is_proposed(store: tuple[Shim, str]) -> None:
    for words in declarations.all_commands():
        declared = declarations.of_command(words)
        names = {name for each in declared.options for name in each.names if name.startswith("--")}
        kind, values = completion.answer([*words, "--"])
        assert (kind, {value for value, _ in values}) == (completion.VALUES, names)
        assert {"--root", "--help"} <= names


def test_every_kind_of_value_that_a_command_declares_is_known() -> None:
    known = {"", "nothing", *SOURCES, *BY_METAVAR.values()}
    commands = [declarations.of_top(), *map(declarations.of_command, declarations.all_commands())]
    assert {each.complete for command in commands for each in command.arguments} <= known


@pytest.mark.parametrize("state", ["missing", "damaged", "foreign", "file"])
def test_a_store_that_cannot_be_read_is_neither_made_nor_reported(
    accounts: dict[str, Account], program: str, state: str
) -> None:
    with fresh_shim(accounts["root"], program) as shim, work_directory() as path:
        if state == "file":
            Path(shim.root).touch()
        elif state != "missing":
            references = Path(shim.root, "images", "references")
            references.mkdir(parents=True)
            (references / "x.json").write_text("{")
            Path(shim.root, "runs", "1").mkdir(parents=True)
            Path(shim.root, "runs", "1", "run.json").write_text("\x00")
            Path(shim.root, "version").write_text("9\n" if state == "foreign" else "1\n")
        for words in (["rm", ""], ["logs", "rm", ""], ["clouds", "rm", ""], ["instances", "show", ""]):
            assert ask((shim, path), *words) == []
        assert os.path.exists(shim.root) == (state != "missing")


def in_shell(store: tuple[Shim, str], shell: str, typed: str) -> str:
    """The command line after a text was typed and Tab was pressed."""
    shim, path = store
    with work_directory() as home:
        env = {
            "PATH": f"{os.path.dirname(shim.program)}:{SYSTEM_PATH}",
            "HOME": home,
            "ZDOTDIR": home,
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "TWEED_SHIM_ROOT": shim.root,
            "WRITTEN": f"{home}/written",
        }
        Path(home, ".zshrc").write_text(f"cd '{path}'\n{ZSH}")
        Path(home, ".bashrc").write_text(f"cd '{path}'\n{BASH}")
        command = {"bash": ["bash", "--rcfile", f"{home}/.bashrc", "-i"], "zsh": ["zsh", "-i"]}[shell]
        output = press(command, f"{typed}\t{WRITE}", env)
        assert os.path.exists(f"{home}/written"), output
        return Path(home, "written").read_text()


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("tweed-shim exe", "tweed-shim exec "),
        ("tweed-shim toi boots", "tweed-shim toi bootstrap "),
        ("tweed-shim clouds forget st", "tweed-shim clouds forget staging "),
        ("tweed-shim exec x setup --cloud=st", "tweed-shim exec x setup --cloud=staging "),
        ("tweed-shim exec x setup --keep-l", "tweed-shim exec x setup --keep-limit "),
        ("tweed-shim exec docker-", "tweed-shim exec docker-archive:"),
        ("tweed-shim exec oci-archive:conf", "tweed-shim exec oci-archive:configuration.json "),
        (
            "tweed-shim exec x configure --config conf",
            "tweed-shim exec x configure --config configuration.json ",
        ),
        ("tweed-shim exec x configure --config a", "tweed-shim exec x configure --config a\\ file.json "),
        ("tweed-shim exec oci-archive:a", "tweed-shim exec oci-archive:a\\ file.json "),
        ("tweed-shim exec x setup --scratch back", "tweed-shim exec x setup --scratch backend/"),
        ('tweed-shim exec "x y" se', 'tweed-shim exec "x y" setup '),
        ("tweed-shim nosuch st", "tweed-shim nosuch st"),
    ],
)
def test_a_key_completes_the_line(store: tuple[Shim, str], shell: str, typed: str, line: str) -> None:
    assert in_shell(store, shell, typed) == line


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("tweed-shim exe", ["exec\trun an operation of a backend or pattern image"]),
        ("tweed-shim clouds forget st", ["staging\toci:"]),
        ("tweed-shim exec x setup --pull=n", ["--pull=never"]),
        ("tweed-shim exec oci:back", ["oci:backend/"]),
        ("tweed-shim exec x configure --config conf", ["configuration.json"]),
        ("tweed-shim exec x setup --scratch back", ["backend/"]),
        ("tweed-shim nosuch st", []),
    ],
)
def test_fish_proposes_the_values(store: tuple[Shim, str], typed: str, values: list[str]) -> None:
    shim, path = store
    done = subprocess.run(
        ["fish", "--no-config", "-c", 'tweed-shim completion fish | source; complete -C "$argv"', typed],
        env=shim.environment()
        | {"PATH": f"{os.path.dirname(shim.program)}:{SYSTEM_PATH}", "TWEED_SHIM_ROOT": shim.root},
        cwd=path,
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    lines = done.stdout.decode().splitlines()
    assert len(lines) == len(values)
    assert all(line.startswith(value) for line, value in zip(lines, values, strict=True))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_printed_and_the_shell_can_parse_it(shell: str, program: str) -> None:
    script = subprocess.run([program, "completion", shell], capture_output=True, check=True).stdout
    assert script.decode() == completion_scripts.SCRIPTS[shell]
    subprocess.run([shell, "-n"], input=script, check=True)

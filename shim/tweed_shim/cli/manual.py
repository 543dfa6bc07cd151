"""The manual pages, made of the declarations of the commands: one for each command, and for each group of commands.

scripts/manual writes them to man/, from where they go into the wheel. Their language is man(7) in the part that man-db,
mandoc and busybox have in common.
"""

from collections.abc import Iterable, Iterator
from textwrap import wrap

from tweed_shim.cli import declarations, examples
from tweed_shim.cli.commands import COMMANDS
from tweed_shim.cli.declarations import Argument, Declarations

_WIDTH = 72
_ESCAPES = str.maketrans({"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti"})
_FURTHER = (
    "docs/using.md of the project explains images, clouds and interactions, docs/operating.md the host."
)


def pages() -> Iterator[tuple[str, str]]:
    """Yield the file name and the text of each page."""
    yield "tweed-shim.1", _list_page("", declarations.of_top(), _summaries(()))
    for name, command in COMMANDS.items():
        if command.subcommands:
            yield file_name((name,)), _list_page(name, declarations.of_group(name), _summaries((name,)))
    for words in declarations.all_commands():
        yield file_name(words), _command_page(words)


def file_name(words: Iterable[str]) -> str:
    """Return the file name of the page of a command. words: its name, and that of its subcommand."""
    return f"{'-'.join(('tweed-shim', *words))}.1"


def _summaries(words: tuple[str, ...]) -> dict[tuple[str, ...], str]:
    """Return the summaries of all commands, or of the subcommands of one, by their words."""
    if words:
        return {(*words, name): summary for name, summary in COMMANDS[words[0]].subcommands.items()}
    return {(name,): command.summary for name, command in COMMANDS.items()}


def _list_page(name: str, declared: Declarations, summaries: dict[tuple[str, ...], str]) -> str:
    command = f"tweed-shim {name}".strip()
    listed = [_entry(_link(words), summary) for words, summary in summaries.items()]
    return "".join(
        (
            _head(command, declared.description),
            _section("SYNOPSIS", _synopsis([f"{command} [OPTION...] COMMAND ..."])),
            _section("COMMANDS", "".join(listed)),
            _options(declared),
            _end(name, []),
        )
    )


def _command_page(words: tuple[str, ...]) -> str:
    declared, name = declarations.of_command(words), " ".join(words)
    synopses = [f"tweed-shim {each}" for each in declared.synopses]
    arguments = "".join(_entry(_italic(each.value_name), each.help) for each in declared.words)
    return "".join(
        (
            _head(f"tweed-shim {name}", declared.description),
            _section("SYNOPSIS", _synopsis(synopses)),
            _section("ARGUMENTS", arguments) if arguments else "",
            _options(declared),
            _end(name, [words[:-1]] if len(words) > 1 else []),
        )
    )


def _head(command: str, description: str) -> str:
    page = command.replace(" ", "-")
    what = description.rstrip(".")
    return (
        f'.TH {_plain(page.upper())} 1 "" "tweed-shim" "User Commands"\n'
        f".SH NAME\n{_plain(page)} \\- {_plain(what[:1].lower() + what[1:])}\n"
    )


def _section(title: str, body: str) -> str:
    return f".SH {title}\n{body}"


def _synopsis(forms: Iterable[str]) -> str:
    return ".nf\n" + "".join(f"{_line(form)}\n" for form in forms) + ".fi\n"


def _options(declared: Declarations) -> str:
    groups: dict[str, list[Argument]] = {}
    for option in declared.options:
        groups.setdefault(option.group, []).append(option)
    return "".join(
        _section((title or "options").upper(), "".join(map(_option, options)))
        for title, options in groups.items()
    )


def _option(option: Argument) -> str:
    value = f" {_italic(option.value_name)}" if option.takes_value else ""
    names = ", ".join(f"{_bold(name)}{value}" for name in option.names)
    return _entry(names, option.help)


def _bold(text: str) -> str:
    return f"\\fB{_plain(text)}\\fR"


def _italic(text: str) -> str:
    return f"\\fI{_plain(text)}\\fR"


def _entry(term: str, text: str) -> str:
    """Return a term with its text. term: in the language of man(7)."""
    return f".TP\n{term}\n{_text(text)}\n"


def _link(words: tuple[str, ...]) -> str:
    return f"{_bold('-'.join(('tweed-shim', *words)))}(1)"


def _end(name: str, parents: list[tuple[str, ...]]) -> str:
    codes = "".join(_entry(_bold(code), text) for code, text in examples.exit_codes(name))
    shown = "\n.PP\n".join(f".nf\n{_line(each)}\n.fi" for each in examples.EXAMPLES[name])
    others = [_link(words) for words in ([()] if name else []) + parents]
    see = f"{', '.join(others)}\n.PP\n" if others else ""
    return "".join(
        (
            _section("EXIT STATUS", codes),
            _section("EXAMPLES", f"{shown}\n"),
            _section("SEE ALSO", f"{see}{_text(_FURTHER)}\n"),
        )
    )


def _plain(text: str) -> str:
    """Escape what roff would print as another character, such as - as a hyphen, which no search for an option finds."""
    return text.translate(_ESCAPES)


def _text(text: str) -> str:
    """Return running text in lines that all editors show."""
    return "\n".join(map(_line, wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)))


def _line(text: str) -> str:
    """Return a line of text. One that begins with a dot would be a request."""
    return f"\\&{_plain(text)}" if text.startswith(".") else _plain(text)

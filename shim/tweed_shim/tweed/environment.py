"""The environment that an image's `setup` prints for the user of the backend: parse it, and print it in other formats.

A value is the text as written, without the types of YAML: `PORT: 0123` is 0123, `TLS: yes` is yes, `EMPTY: null` is
null, and `EMPTY:` is empty. Values are secrets: no message contains one.
"""

from collections.abc import Callable, Collection, Mapping

from tweed_shim.base.text import ALPHANUMERIC, ESCAPES, made_of
from tweed_shim.errors import ContractError, RefusedFormat, SteeringVariable, UsageError

# Short enough to be written as a simple key of YAML, which has at most 1024 characters.
_LONGEST_NAME = 1000
_PLAIN_MOST = 1 << 16
# The most names in a message: an image may print thousands.
_MOST_NAMED = 5
# Names that a YAML 1.1 reader would not take for text.
_YAML_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))
_YAML_ESCAPED = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF)
_YAML_ESCAPES = {code: f"\\U{code:08X}" for code in (*_YAML_ESCAPED, *ESCAPES)} | {
    ord(character): escape
    for character, escape in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))
}
# docker and podman read an env file with Go's bufio.Scanner, whose buffer of 64 KiB also holds the line break.
_ENV_FILE_LINE_BYTES = (64 << 10) - 1
# Linux passes no longer `NAME=value` to a program, with the NUL at its end (MAX_ARG_STRLEN, man 2 execve).
_VARIABLE_BYTES = (128 << 10) - 1
_DOTENV_BARE = ALPHANUMERIC + "_./:@%+,=-"
_DOTENV_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})
_SYSTEMD_ESCAPES = str.maketrans({character: f"\\{character}" for character in '"\\`$'})


def parse(data: bytes, *, image: str) -> dict[str, str]:
    """Parse the YAML that `setup` of `image` printed: one flat map of names to scalars, whose order is kept.

    Empty output is an empty environment. Aliases are resolved; the tag `!!str` changes nothing, other tags are
    refused. Raises ContractError, with each name and line, for a list or a map as a value, for a name that cannot name
    a variable (letters, digits and underscores, no digit first) or occurs twice, and for NUL in a value.
    """
    plain = _parse_plain(data)
    return _parse_yaml(data, image=image) if plain is None else plain


def _parse_plain(data: bytes) -> dict[str, str] | None:
    """Parse lines `NAME: VALUE` as `_parse_yaml` does, without importing PyYAML; return None for anything else."""
    if len(data) > _PLAIN_MOST:
        return None
    try:
        lines = data.decode("ascii").removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        return None
    environment: dict[str, str] = {}
    for line in lines:
        name, colon, written = line.partition(": ")
        value = _plain_value(written)
        if not colon or not is_variable_name(name) or value is None:
            return None
        environment[name] = value
    # A name that occurs twice is left to `_parse_yaml`, which has the message.
    return environment if len(environment) == len(lines) else None


def _plain_value(written: str) -> str | None:
    """Return the value of a scalar that all readers of YAML agree on: quoted without escapes, or of few characters."""
    for quote in ('"', "'"):
        if len(written) > 1 and written[0] == quote == written[-1]:
            value = written[1:-1]
            escapes = quote == '"' and "\\" in value
            return None if quote in value or escapes or not value.isprintable() else value
    pieces = written.split(":")
    is_bare = all(made_of(ALPHANUMERIC + "_./+@-", piece) for piece in pieces)
    return written if is_bare and written[0].isalnum() else None


def is_variable_name(text: str) -> bool:
    """Tell whether a text can name a variable (POSIX Base Definitions, 3.216)."""
    return text.isascii() and text.isidentifier() and len(text) <= _LONGEST_NAME


def _parse_yaml(data: bytes, *, image: str) -> dict[str, str]:
    from tweed_shim.data import document_paths, documents

    document = documents.load(
        data, name=f"the environment that setup of {image} printed", error=ContractError, as_text=True
    )
    environment = document.value
    if environment in (None, ""):
        return {}
    if not isinstance(environment, dict):
        raise ContractError(
            f"setup of {image} printed no environment: it has to print one YAML map of names to values, "
            "and all else on the other stream"
        )
    problems = [
        f"{document.location([name])} {problem}"
        for name, value in environment.items()
        if (problem := _problem(name, value)) is not None
    ]
    if problems:
        raise ContractError(
            f"the environment that setup of {image} printed breaks the contract: "
            f"{document_paths.join_problems(problems)}"
        )
    return environment


def _problem(name: str, value: object) -> str | None:
    if not is_variable_name(name):
        return "is not the name of a variable"
    if isinstance(value, dict | list):
        return f"is a {'map' if isinstance(value, dict) else 'list'}, where only text can be"
    if "\0" in str(value):
        return "holds NUL, which no variable can"
    return None


def render(
    environment: Mapping[str, str],
    kind: str,
    *,
    allow: Collection[str] = (),
    subject: str = "the environment that the image printed sets",
) -> str:
    """Return an environment as text in one of FORMATS, one line for each variable but for JSON.

    - yaml: every value in double quotes, so that all readers take it for text.
    - json: one object.
    - dotenv: the dialect of python-dotenv. A value is bare where it can be; else verbatim in single quotes; else, with
      a single quote, a backslash or a line break in it, in double quotes with a backslash before quotes and
      backslashes, and `\\n` and `\\r`. A `$` is not escaped: Compose expands it within double quotes, and
      python-dotenv expands `${NAME}` everywhere.
    - shell: `export` lines for `eval "$(...)"` or `.` of POSIX shells: sh, bash, dash, busybox, ksh, zsh.
    - fish: `set -gx` lines for `... | source` of fish, whose single quotes know escapes.
    - env-file: `NAME=value` for `--env-file` of docker and podman, which take a value as it stands, to the end of its
      line. A value with a line break, or a longer line than they read, is refused.
    - systemd: `NAME="value"` for `EnvironmentFile=` (systemd.exec(5)), where double quotes hold line breaks, and know
      the escapes of a shell. U+FEFF, noncharacters, and what is too long for a program are refused.
    - github: blocks for the file that $GITHUB_ENV names. github-output: the same for $GITHUB_OUTPUT. Print the lines of
      `github_files.masks` first. Names that GitHub lets no step set are refused in $GITHUB_ENV.

    All but yaml, json and github-output are made to be evaluated (EVALUATED). allow: names that they may set although
    these steer a shell or the programs that it starts (see `steering`). subject: the beginning of a message that goes
    on with names of variables.

    Raises UsageError for an unknown format, SteeringVariable for steering names that are not allowed, and RefusedFormat
    for variables that the format cannot hold.
    """
    if kind not in _RENDERERS:
        raise UsageError(f"an environment has no format '{kind}': choose one of {', '.join(FORMATS)}")
    if kind in EVALUATED:
        _refuse_steering(environment, kind, allow=allow, subject=subject)
    if kind in _LIMITS:
        _refuse_what_cannot_be_held(environment, kind, subject=subject)
    return _RENDERERS[kind](environment)


def _refuse_steering(
    environment: Mapping[str, str], kind: str, *, allow: Collection[str], subject: str
) -> None:
    from tweed_shim.tweed import steering

    refused = steering.steering(environment, allow=allow)
    if not refused:
        return
    rest = " and the others" if len(refused) > _MOST_NAMED else ""
    shown = list(refused.items())[:_MOST_NAMED]
    named = ", ".join(f"{name} (steers {steers})" for name, steers in shown)
    more = f" and {len(refused) - len(shown)} more" if len(refused) > len(shown) else ""
    raise SteeringVariable(
        f"{subject} {named}{more}, and the format {kind} is made to be {_PURPOSES.get(kind, 'evaluated')}",
        f"use the format yaml or json, or allow={list(refused)[:_MOST_NAMED]}{rest} if you mean it",
        tuple(refused),
    )


def _refuse_what_cannot_be_held(environment: Mapping[str, str], kind: str, *, subject: str) -> None:
    find_fault, limit = _LIMITS[kind]
    faults = ((name, find_fault(name, value)) for name, value in environment.items())
    refused = [f"{name} ({fault})" for name, fault in faults if fault]
    if not refused:
        return
    more = f" and {len(refused) - _MOST_NAMED} more" if len(refused) > _MOST_NAMED else ""
    raise RefusedFormat(
        f"{subject} {', '.join(refused[:_MOST_NAMED])}{more}, and the format {kind} holds only {limit}",
        "use the format yaml or json",
    )


def _env_file_fault(name: str, value: str) -> str | None:
    # Go's bufio.ScanLines ends a line at LF and drops a CR before it.
    if "\n" in value or "\r" in value:
        return "has a line break"
    return "is too long" if len(f"{name}={value}".encode()) > _ENV_FILE_LINE_BYTES else None


def _systemd_fault(name: str, value: str) -> str | None:
    refused = next((character for character in value if not _is_of_systemd(ord(character))), None)
    return _length_fault(name, value) if refused is None else f"holds U+{ord(refused):04X}"


def _is_of_systemd(code: int) -> bool:
    return code != 0xFEFF and not 0xFDD0 <= code <= 0xFDEF and code & 0xFFFE != 0xFFFE


def _github_fault(name: str, value: str) -> str | None:
    from tweed_shim.tweed import github_files

    return github_files.fault(name) or _length_fault(name, value)


def _length_fault(name: str, value: str) -> str | None:
    return "is too long" if len(f"{name}={value}".encode()) > _VARIABLE_BYTES else None


def _to_yaml(environment: Mapping[str, str]) -> str:
    if not environment:
        return "{}\n"
    return "".join(f"{_yaml_name(name)}: {_yaml_text(value)}\n" for name, value in environment.items())


def _yaml_name(name: str) -> str:
    return f'"{name}"' if name.lower() in _YAML_WORDS else name


def _yaml_text(value: str) -> str:
    return f'"{value.translate(_YAML_ESCAPES)}"'


def _to_json(environment: Mapping[str, str]) -> str:
    import json

    return json.dumps(dict(environment), ensure_ascii=False, indent=2).translate(ESCAPES) + "\n"


def _to_dotenv(environment: Mapping[str, str]) -> str:
    return "".join(f"{name}={_dotenv_text(value)}\n" for name, value in environment.items())


def _dotenv_text(value: str) -> str:
    if not value.strip(_DOTENV_BARE):
        return value
    if not any(character in value for character in "'\\\r\n"):
        return f"'{value}'"
    return f'"{value.translate(_DOTENV_ESCAPES)}"'


def _to_shell(environment: Mapping[str, str]) -> str:
    quoted = ((name, value.replace("'", "'\\''")) for name, value in environment.items())
    return "".join(f"export {name}='{value}'\n" for name, value in quoted)


def _to_fish(environment: Mapping[str, str]) -> str:
    # Within single quotes fish knows two escapes; any other backslash is literal (fish-language, "Quotes").
    quoted = ((name, value.replace("\\", "\\\\").replace("'", "\\'")) for name, value in environment.items())
    return "".join(f"set -gx {name} '{value}'\n" for name, value in quoted)


def _to_env_file(environment: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in environment.items())


def _to_systemd(environment: Mapping[str, str]) -> str:
    quoted = ((name, value.translate(_SYSTEMD_ESCAPES)) for name, value in environment.items())
    return "".join(f'{name}="{value}"\n' for name, value in quoted)


def _to_github(environment: Mapping[str, str]) -> str:
    from tweed_shim.tweed import github_files

    return github_files.blocks(environment)


_RENDERERS: dict[str, Callable[[Mapping[str, str]], str]] = {
    "yaml": _to_yaml,
    "json": _to_json,
    "dotenv": _to_dotenv,
    "shell": _to_shell,
    "fish": _to_fish,
    "env-file": _to_env_file,
    "systemd": _to_systemd,
    "github": _to_github,
    "github-output": _to_github,
}
FORMATS = tuple(_RENDERERS)
# The formats that a shell evaluates, or that are read into its environment or that of programs and containers that it
# starts.
EVALUATED = frozenset(("dotenv", "shell", "fish", "env-file", "systemd", "github"))
# What a format is made for, if it is not evaluated by a shell or a library.
_PURPOSES = {
    "env-file": "set in containers",
    "systemd": "set in services",
    "github": "set in the later steps of a job",
}
# What is wrong with a variable that a format cannot hold, and what the format holds.
_LIMITS: dict[str, tuple[Callable[[str, str], str | None], str]] = {
    "env-file": (_env_file_fault, "values of one line of less than 64 KiB"),
    "systemd": (_systemd_fault, "text of less than 128 KiB without U+FEFF and noncharacters"),
    "github": (_github_fault, "variables of less than 128 KiB that a step may set"),
}

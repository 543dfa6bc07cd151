"""`spiff`: merge templates; compare, convert and encrypt documents. The output is that of the reference's command."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from tweed_shim.base import files, named_files
from tweed_shim.cli import spiff_results
from tweed_shim.cli.commands import Arguments, Context, Parser
from tweed_shim.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from tweed_shim.spiff.merging import Document, Options
    from tweed_shim.spiff.tree.nodes import Node

STDIN = "-"
DOCUMENT_STUB = "document: (( &temporary &inject(merge) ))\n"
"""The stub of `run` that gives the template a document under this name."""


def _add_output_options(parser: Parser) -> None:
    parser.intermixed = True
    parser.add_argument("--json", action="store_true", help="print JSON, one line for each document")
    parser.add_argument(
        "--path", metavar="PATH", complete="nothing", help="print only what is at a path, such as a.b.[0]"
    )
    parser.add_argument(
        "--select",
        metavar="PATH",
        complete="nothing",
        action="append",
        default=[],
        help="print only this field; may be repeated",
    )
    parser.add_argument("--split", action="store_true", help="print the entries of a list as documents")


def _add_merge_options(parser: Parser) -> None:
    _add_output_options(parser)
    option = parser.add_argument
    option("--partial", action="store_true", help="leave what cannot be resolved as it is")
    option("--evaluate", metavar="EXPRESSION", help="print the value of an expression in the result")
    option(
        "--state", metavar="FILE", help="write what is marked &state to FILE, and use FILE as the last stub"
    )
    option("--bindings", metavar="FILE", help="a map of values that all documents see")
    option(
        "-D",
        "--define",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="a binding; KEY may be a path, with dots",
    )
    option("--tag", metavar="NAME:FILE", action="append", default=[], help="give a document as a global tag")
    option(
        "--features",
        metavar="LIST",
        action="append",
        default=[],
        help="enable interpolation or control, also $SPIFF_FEATURES; 'no' before a name disables it",
    )
    option(
        "--interpolation",
        action="store_true",
        help="enable expressions within strings, as --features interpolation does",
    )
    option("--preserve-escapes", action="store_true", help="keep escaped expressions escaped")
    option("--preserve-temporary", action="store_true", help="also print what is marked &temporary")
    option("--private", action="store_true", help="let templates reach no file, command or environment")


def configure_spiff_merge(parser: Parser) -> None:
    """Declare the options of `spiff merge`."""
    parser.add_argument(
        "template", metavar="TEMPLATE", help="a file, or - for stdin; it may hold several documents"
    )
    parser.add_argument("stubs", nargs="*", metavar="STUB", help="files, or - for stdin")
    _add_merge_options(parser)


def spiff_merge_command(arguments: Arguments, _: Context) -> int:
    """Merge stubs into a template, and print the result."""
    reader = _Reader()
    template = reader.document(arguments.template)
    return _merge(arguments, reader, template, [])


def configure_spiff_run(parser: Parser) -> None:
    """Declare the options of `spiff run`."""
    parser.add_argument(
        "document", metavar="DOCUMENT", help="a file, or - for stdin, that the template sees as `document`"
    )
    parser.add_argument("template", metavar="TEMPLATE", help="a file")
    parser.add_argument("stubs", nargs="*", metavar="STUB", help="files")
    _add_merge_options(parser)


def spiff_run_command(arguments: Arguments, _: Context) -> int:
    """Process a document with a template and stubs."""
    from tweed_shim import spiff
    from tweed_shim.spiff.merging import Document

    reader = _Reader()
    content = reader.node(arguments.document)
    document = Document(spiff.dump({"document": content}), f"<{arguments.document}>")
    template = reader.document(arguments.template)
    return _merge(arguments, reader, template, [Document(DOCUMENT_STUB, "<document>"), document])


def configure_spiff_diff(parser: Parser) -> None:
    """Declare the options of `spiff diff`."""
    parser.intermixed = True
    parser.add_argument("one", metavar="FILE", help="a file, or - for stdin")
    parser.add_argument("other", metavar="FILE", help="the file to compare it with")
    parser.add_argument(
        "--separator", metavar="TEXT", default="", help="a text to print after each difference"
    )


def spiff_diff_command(arguments: Arguments, _: Context) -> int:
    """Print where two files differ; where their numbers of documents differ, print only that."""
    from tweed_shim.spiff.tree.comparison import differences
    from tweed_shim.spiff.tree.output import plain_data

    reader = _Reader()
    one, other = reader.nodes(arguments.one), reader.nodes(arguments.other)
    if len(one) != len(other):
        sys.stdout.write(f"Different number of documents ({len(one)} != {len(other)})\n")
        return 0
    pairs = zip(one, other, strict=True)
    found = [list(differences(plain_data(mine), plain_data(its))) for mine, its in pairs]
    if not any(found):
        sys.stdout.write("no differences!\n")
        return 0
    for number, listed in enumerate(found, 1):
        if not listed:
            sys.stdout.write(f"No difference in document {number}\n")
        place = f"document {number}" if len(found) > 1 else ""
        for difference in listed:
            sys.stdout.write(f"Difference in {place} {'.'.join(difference.path)}\n")
            _show_side(arguments.one, difference.one, "31")
            _show_side(arguments.other, difference.other, "32")
            sys.stdout.write(arguments.separator)
    return 0


def _show_side(name: str, value: Any, colour: str) -> None:
    from tweed_shim import spiff
    from tweed_shim.spiff.tree.comparison import MISSING

    if value is MISSING:
        return
    text = spiff.dump(value).replace("\n", "\n    ")
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        text = f"\x1b[{colour}m{text}\x1b[0m"
    sys.stdout.write(f"  {name} has:\n    {text}\n")


def configure_spiff_convert(parser: Parser) -> None:
    """Declare the options of `spiff convert`."""
    parser.add_argument("file", metavar="FILE", help="a file, or - for stdin")
    _add_output_options(parser)


def spiff_convert_command(arguments: Arguments, _: Context) -> int:
    """Print documents as YAML or JSON; nothing in them is evaluated."""
    results = [spiff_results.shown(node, arguments) for node in _Reader().nodes(arguments.file)]
    sys.stdout.write(spiff_results.rendered(results, arguments))
    return 0


def configure_spiff_encrypt(parser: Parser) -> None:
    """Declare the options of `spiff encrypt`."""
    parser.intermixed = True
    parser.add_argument("file", metavar="FILE", help="a file, or - for stdin")
    parser.add_argument(
        "password", nargs="?", help="visible to other users: better use $SPIFF_ENCRYPTION_KEY"
    )
    parser.add_argument("method", nargs="?", choices=("3DES",), help="the method, which can only be 3DES")
    parser.add_argument("-d", "--decrypt", action="store_true", help="decrypt instead")


def spiff_encrypt_command(arguments: Arguments, context: Context) -> int:
    """Encrypt a document as the function `encrypt` does, or decrypt it."""
    from tweed_shim.spiff.functions.encryption import decrypted, encrypted
    from tweed_shim.spiff.tree.values import Fault

    password = os.environ.get("SPIFF_ENCRYPTION_KEY", "")
    if arguments.password not in (None, "3DES"):
        context.messages.warn(
            "others can see the password on the command line; give it in $SPIFF_ENCRYPTION_KEY"
        )
        password = arguments.password
    if not password:
        raise UsageError("there is no password; set $SPIFF_ENCRYPTION_KEY to it")
    document = _Reader().document(arguments.file)
    try:
        if arguments.decrypt:
            result = decrypted(document.text.strip(), password)
        else:
            spiff_results.nodes(document)
            result = encrypted(document.text, password)
    except Fault as fault:
        raise ConfigError(f"{document.name} cannot be processed: {fault}") from None
    sys.stdout.write(f"{result}\n")
    return 0


class _Reader:
    """Reads the files that the command line names. Stdin can be read once."""

    def __init__(self) -> None:
        self._stdin_used = False

    def document(self, name: str) -> "Document":
        """Return the text of a file or of stdin, with its name."""
        from tweed_shim.spiff.merging import Document

        return Document(self._text(name), name)

    def nodes(self, name: str) -> "list[Node]":
        """Return the documents of a file, unprocessed."""
        return spiff_results.nodes(self.document(name))

    def node(self, name: str) -> "Node":
        """Return the only document of a file, unprocessed."""
        return spiff_results.single(self.document(name))

    def _text(self, name: str) -> str:
        from tweed_shim.spiff.tree.values import MAX_TEXT

        try:
            if name == STDIN:
                if self._stdin_used:
                    raise UsageError("stdin can be used only once; give a file instead of one '-'")
                self._stdin_used = True
                return files.read_bounded(sys.stdin.buffer, MAX_TEXT, "the document on stdin").decode()
            with open(name, "rb") as file:
                return files.read_bounded(file, MAX_TEXT, name).decode()
        except OSError as error:
            raise ConfigError(
                f"{name} cannot be read: {_reason(error)}; name another file, or - for stdin"
            ) from None
        except UnicodeDecodeError:
            raise ConfigError(f"{name} is not text in UTF-8; convert it, or name another file") from None


def _merge(arguments: Arguments, reader: _Reader, template: "Document", stubs: "list[Document]") -> int:
    from tweed_shim.host.worker_process import WorkerProcess
    from tweed_shim.spiff import template_worker

    options = _options(arguments, reader)
    stubs = [*stubs, *[reader.document(name) for name in arguments.stubs]]
    if arguments.state:
        with _state_faults(arguments.state), named_files.resolved(arguments.state) as target:
            if target.status is not None:
                stubs.append(reader.document(arguments.state))
    tags = dict(_tag(text, reader) for text in arguments.tag)
    inputs = spiff_results.Inputs(template, stubs, tags)
    with WorkerProcess() as worker:
        merged = template_worker.call(
            worker, spiff_results.merge, options, inputs, arguments, what=template.name
        )
    if merged.state is not None:
        _keep_state(arguments.state, merged.state)
    sys.stdout.write(merged.output)
    return 0


def _options(arguments: Arguments, reader: _Reader) -> "Options":
    from tweed_shim.spiff.merging import Options

    return Options(
        features=_features(arguments),
        mode="private" if arguments.private else "system",
        bindings=_bindings(arguments, reader),
        partial=arguments.partial,
        preserve_escapes=arguments.preserve_escapes,
        preserve_temporary=arguments.preserve_temporary,
        encryption_key=os.environ.get("SPIFF_ENCRYPTION_KEY", ""),
    )


def _features(arguments: Arguments) -> list[str]:
    lists = [os.environ.get("SPIFF_FEATURES", ""), *arguments.features]
    lists += ["interpolation"] if arguments.interpolation else []
    return [name for text in lists for name in map(str.strip, text.split(",")) if name]


def _bindings(arguments: Arguments, reader: _Reader) -> dict[str, Any]:
    from tweed_shim.spiff.functions.arguments import parse_integer
    from tweed_shim.spiff.tree.output import plain_data

    bindings: Any = plain_data(reader.node(arguments.bindings)) if arguments.bindings else {}
    if not isinstance(bindings, dict):
        raise ConfigError(
            f"{arguments.bindings}: the bindings are no map; write names and values into the file"
        )
    for definition in arguments.define:
        key, equals, value = definition.partition("=")
        if not equals or not key:
            raise UsageError("a definition (-D) has no key or no value; write KEY=VALUE")
        number = parse_integer(value)
        _define(bindings, key, value if number is None else number)
    return bindings


def _define(bindings: dict[str, Any], key: str, value: Any) -> None:
    """Set a value at a path; a dot behind a backslash is a part of the name, and two backslashes are one."""
    *parents, last = _path_of(key)
    here = bindings
    for part in parents:
        if not part:
            raise UsageError(f"a name is empty in the key '{key}' of a definition (-D)")
        here = here.setdefault(part, {})
        if not isinstance(here, dict):
            raise UsageError(f"'{part}' in the key '{key}' of a definition (-D) is no map")
    here[last] = value


def _path_of(key: str) -> list[str]:
    *steps, last = key.split(".")
    path: list[str] = []
    name = ""
    for step in steps:
        bare = step.rstrip("\\")
        backslashes = len(step) - len(bare)
        name += bare + "\\" * (backslashes // 2)
        if backslashes % 2:
            name += "."
        else:
            path.append(name)
            name = ""
    return [*path, name + last]


def _tag(text: str, reader: _Reader) -> "tuple[str, Document]":
    name, colon, path = text.partition(":")
    if not colon or not name:
        raise UsageError(f"the tag (--tag) '{text}' has no name or no file; write NAME:FILE")
    return name, reader.document(path)


def _keep_state(path: str, text: str) -> None:
    from tweed_shim.spiff.tree.values import MAX_TEXT

    with _state_faults(path), ExitStack() as stack:
        stack.enter_context(named_files.writing(path)).write(text.encode())
        if os.path.isfile(path):
            with open(path, "rb") as file:
                data = files.read_bounded(file, MAX_TEXT, path)
            stack.enter_context(named_files.writing(f"{path}.bak")).write(data)


@contextmanager
def _state_faults(path: str) -> Iterator[None]:
    """Turn an OSError within a block into a ConfigError that names the file of the state."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"the state cannot be kept in {path}: {_reason(error)}; name another file with --state"
        ) from None


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "it does not exist"
    return "it is a directory" if isinstance(error, IsADirectoryError) else str(error.strerror)

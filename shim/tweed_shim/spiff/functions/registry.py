"""Declare and find the functions of the language.

A **plain function** gets the values of its arguments and returns a value. It is declared in a module of this package,
and `MODULES` names that module, which is imported when the first expression calls the function. The **special
functions** need unevaluated arguments, bindings, stubs or the engine, and are in `expressions.special`:

    catch  deepmerge  defined  eval  features  merge  optional  require  static_ips  stub  sync  tagdef  type  valid

All others are plain ones:

    strings   base64 base64_decode basename dirname format error join lower match parseurl replace replace_match split
              split_match substr trim upper
    lists     compact contains element index intersect lastindex length reverse sort uniq
    maps      keys list_to_map makemap
    numbers   floor ceil round roundtoeven abs sin cos sinh cosh asin acos asinh acosh sqrt exp log log10
              string integer float bool
    networks  contains_ip ipset max_ip min_ip num_ip
    json_yaml asjson asyaml parse read read_uncached
    files     archive list_dirs list_files lookup_dir lookup_file mkdir tempfile write
    system    env exec exec_uncached pipe pipe_uncached
    crypto    bcrypt bcrypt_check decrypt encrypt hash md5 md5crypt md5crypt_check rand wggenkey wgpublickey
              x509cert x509genkey x509parsecert x509publickey
    versions  the semver functions
    checks    check validate

This declares a function. Where it fails it raises `Fault` with the reference's words:

    @function("join", 1)
    def join(call: Call, *arguments: Value) -> Value: ...
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

from tweed_shim.base.records import Record
from tweed_shim.spiff.tree.nodes import Lambda
from tweed_shim.spiff.tree.values import Fault, Value


class Call(Protocol):
    """What a function may ask of the engine that calls it."""

    @property
    def name(self) -> str:
        """The name by which the function was called."""

    @property
    def path(self) -> tuple[str, ...]:
        """The path of the node whose expression is evaluated."""

    @property
    def source(self) -> str:
        """The name of the document that holds the expression."""

    @property
    def key_name(self) -> str:
        """The key field of the list that is the first argument (`merge on key`), or ""."""

    @property
    def files_allowed(self) -> bool:
        """Whether files may be read and written (modes "files" and "system")."""

    @property
    def commands_allowed(self) -> bool:
        """Whether commands may run and the environment may be read (mode "system")."""

    @property
    def features(self) -> frozenset[str]:
        """The enabled feature flags."""

    @property
    def encryption_key(self) -> str:
        """The key of `encrypt` and `decrypt` where none is given, or ""."""

    @property
    def temporary_prefix(self) -> str:
        """The beginning of the names of temporary files."""

    @property
    def cache(self) -> dict[Hashable, Any]:
        """A cache from the beginning of a merge to its end; keys begin with the function's name."""

    def at_end(self, action: Callable[[], None]) -> None:
        """Call `action` when the merge has ended, well or not, for example to remove a temporary file."""

    def apply(self, function: Lambda, arguments: Sequence[Value]) -> Value:
        """Call a lambda. Raises Fault where it fails, and Pending where the result is not known yet: catch neither."""

    def parse(self, text: str, mode: str, name: str) -> Value:
        """Return the value of a document's text, as `parse` and `read` return it.

        mode: text, yaml, multiyaml, import, importmulti, template, templates, the ones of YAML also with a
        leading dot. name: what messages call the document.
        """


Implementation = Callable[..., Value]


class Function(Record):
    """A plain function: its implementation, and the least and most arguments it takes (`most` None: any number)."""

    name: str
    implementation: Implementation
    least: int = 0
    most: int | None = None

    def __call__(self, call: Call, arguments: Sequence[Value]) -> Value:
        """Call the implementation. Raises Fault where the number of arguments is wrong."""
        count = len(arguments)
        if count < self.least or (self.most is not None and count > self.most):
            raise Fault(f"{self.name} takes {self._counts()}, but found {count}")
        return self.implementation(call, *arguments)

    def _counts(self) -> str:
        def arguments(number: int) -> str:
            return f"{number} argument" if number == 1 else f"{number} arguments"

        if self.most is None:
            return f"at least {arguments(self.least)}"
        if self.least == self.most:
            return arguments(self.least) if self.least else "no arguments"
        return f"{self.least} {'or' if self.most == self.least + 1 else 'to'} {arguments(self.most)}"


_declared: dict[str, Function] = {}


def function(
    name: str, least: int = 0, most: int | None = None
) -> Callable[[Implementation], Implementation]:
    """Declare the decorated function under a name of the language; several names are possible."""

    def declare(implementation: Implementation) -> Implementation:
        _declared[name] = Function(name, implementation, least, most)
        return implementation

    return declare


_FUNCTIONS = {
    "archives": "archive",
    "certificates": "x509cert x509parsecert",
    "checks": "check validate",
    "commands": "env exec exec_uncached pipe pipe_uncached",
    "json_yaml": "asjson asyaml parse read read_uncached",
    "encryption": "decrypt encrypt",
    "files": "list_dirs list_files lookup_dir lookup_file mkdir tempfile write",
    "hashes": "bcrypt bcrypt_check hash md5 md5crypt md5crypt_check",
    "keys": "x509genkey x509publickey",
    "lists": "compact contains element index intersect lastindex length reverse sort uniq",
    "locations": "basename dirname parseurl",
    "maps": "keys list_to_map makemap",
    "matching": "match replace replace_match split_match",
    "networks": "contains_ip ipset max_ip min_ip num_ip",
    "numbers": (
        "abs acos acosh asin asinh bool ceil cos cosh exp float floor integer log log10 round "
        "roundtoeven sin sinh sqrt string"
    ),
    "printing": "error format",
    "randomness": "rand",
    "strings": "base64 base64_decode join lower split substr trim upper",
    "versions": (
        "semver semvercmp semverincmajor semverincminor semverincpatch semvermajor semvermatch "
        "semvermetadata semverminor semverpatch semverprerelease semverrelease semversort semvervalidate"
    ),
    "wireguard": "wggenkey wgpublickey",
}
# The module of this package that declares a function, by the name of the function.
MODULES: dict[str, str] = {name: module for module, names in _FUNCTIONS.items() for name in names.split()}


def find(name: str) -> Function | None:
    """Return the plain function of that name and import its module first; None where there is none."""
    if name not in _declared and name in MODULES:
        importlib.import_module(f"tweed_shim.spiff.functions.{MODULES[name]}")
    return _declared.get(name)

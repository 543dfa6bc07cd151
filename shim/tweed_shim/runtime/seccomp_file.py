"""A user's own seccomp profile: a JSON file in the form of the OCI Runtime Specification 1.0, `config-linux.md`.

It is the object `linux.seccomp` of a `config.json`. Docker's profiles look similar and are not the same: they have
parts that depend on the host and on capabilities, which only Docker's own program resolves.
"""

import errno
import json
from typing import Any, NoReturn

from tweed_shim.errors import ConfigError

LARGEST = 1 << 20
ACTIONS = ("KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP", "ERRNO", "TRACE", "ALLOW", "LOG")
OPERATORS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
DOCKERS = ("archMap", "includes", "excludes", "defaultErrno", "errno", "name")
PROFILE = ("defaultAction", "defaultErrnoRet", "architectures", "flags", "syscalls")
RULE = ("names", "action", "errnoRet", "args")
ARGUMENT = ("index", "value", "valueTwo", "op")
ALWAYS = "[]"  # the condition of a rule without arguments


class _Checked:
    """An object of the file, whose fields are checked. where: its name in messages."""

    def __init__(self, value: object, where: str, path: str, fields: tuple[str, ...]) -> None:
        self._where, self._path = where, path
        if not isinstance(value, dict):
            self.wrong("is not an object")
        self._fields = value
        for name in value:
            if name in DOCKERS:
                self.wrong(
                    f"has {name!r}, which is of Docker's form; give the OCI runtime specification's instead"
                )
            if name not in fields:
                self.wrong(f"has {name!r}, which is not known; it can have: {', '.join(fields)}")

    def wrong(self, what: str) -> NoReturn:
        raise ConfigError(f"the seccomp profile {self._path} cannot be used: {self._where} {what}")

    def one_of(self, name: str, prefix: str, values: tuple[str, ...]) -> None:
        if self._fields.get(name) not in [prefix + value for value in values]:
            self.wrong(f"has no valid {name!r}; it is one of {', '.join(prefix + value for value in values)}")

    def numbers(self, *names: str, most: int) -> None:
        for name in names:
            value = self._fields.get(name, 0)
            if type(value) is not int or not 0 <= value <= most:
                self.wrong(f"has a {name!r} that is no number from 0 to {most}")

    def objects(self, name: str) -> list[Any]:
        value = self._fields.get(name, [])
        if not isinstance(value, list):
            self.wrong(f"has {name!r} that is no list")
        return value

    def texts(self, name: str) -> list[str]:
        value = self.objects(name)
        if not all(isinstance(each, str) and each for each in value):
            self.wrong(f"has {name!r} that is no list of names")
        return value


def read(path: str) -> dict[str, Any]:
    """Read a profile from a file. Raises ConfigError where it cannot be read, is no profile, or contradicts itself."""
    try:
        with open(path, "rb") as file:
            text = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"the seccomp profile {path!r} cannot be read: {reason}; name a file, or write unconfined for none"
        ) from error
    if len(text) > LARGEST:
        raise ConfigError(f"the seccomp profile {path} is larger than 1 MiB; give a smaller one")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the seccomp profile {path} is not JSON ({error}); correct it") from error
    _check(document, path)
    profile: dict[str, Any] = document
    _check_contradictions(profile.get("syscalls", []), path)
    return profile


def _check(document: object, path: str) -> None:
    profile = _Checked(document, "it", path, PROFILE)
    profile.one_of("defaultAction", "SCMP_ACT_", ACTIONS)
    profile.numbers("defaultErrnoRet", most=4095)
    profile.texts("architectures")
    profile.texts("flags")
    for number, entry in enumerate(profile.objects("syscalls")):
        where = f"syscalls[{number}]"
        rule = _Checked(entry, where, path, RULE)
        rule.one_of("action", "SCMP_ACT_", ACTIONS)
        rule.numbers("errnoRet", most=4095)
        if not rule.texts("names"):
            rule.wrong("names no call")
        for position, each in enumerate(rule.objects("args")):
            argument = _Checked(each, f"{where}.args[{position}]", path, ARGUMENT)
            argument.one_of("op", "SCMP_CMP_", OPERATORS)
            argument.numbers("index", most=5)
            argument.numbers("value", "valueTwo", most=2**64 - 1)


def _check_contradictions(rules: list[dict[str, Any]], path: str) -> None:
    """Raise ConfigError where one call has two answers.

    The runtime takes such a profile, and for libseccomp the first rule wins, or the one without arguments. So a user
    who appends a rule for a call that has one would change nothing, and would not know.
    """
    seen: dict[str, dict[str, tuple[int, str]]] = {}
    for number, rule in enumerate(rules):
        condition = json.dumps(rule.get("args") or [], sort_keys=True)
        answer = rule["action"]
        if answer.endswith(("_ERRNO", "_TRACE")):
            answer += f" {rule.get('errnoRet', errno.EPERM)}"
        for name in rule["names"]:
            answers = seen.setdefault(name, {})
            # Rules with different arguments are different cases; one without arguments covers all of them.
            meeting = answers if condition == ALWAYS else answers.keys() & {condition, ALWAYS}
            for earlier, other in map(answers.__getitem__, meeting):
                if other != answer:
                    raise ConfigError(
                        f"the seccomp profile {path} cannot be used: it answers {name!r} with {other} in "
                        f"syscalls[{earlier}] and with {answer} in syscalls[{number}]; remove it from one of them"
                    )
            answers.setdefault(condition, (number, answer))

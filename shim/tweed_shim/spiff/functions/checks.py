"""`validate` and `check`: test values with rules, which are names, lists of a name and its arguments, or lambdas."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tweed_shim.base import re2
from tweed_shim.base.records import Record, replace
from tweed_shim.spiff.functions import dnsnames, networks, versions
from tweed_shim.spiff.functions.lists import same
from tweed_shim.spiff.functions.printing import quoted, shown
from tweed_shim.spiff.functions.registry import Call, function
from tweed_shim.spiff.tree.nodes import Lambda, type_name
from tweed_shim.spiff.tree.values import Fault, Value, is_integer, truth


class Verdict(Record):
    """Whether a value keeps a rule, and the reason in words."""

    kept: bool
    reason: str


def _kept(reason: str) -> Verdict:
    return Verdict(kept=True, reason=reason)


def _broken(reason: str) -> Verdict:
    return Verdict(kept=False, reason=reason)


# A rule raises Fault where its arguments are wrong, or it cannot be applied to the type of the value.
Rule = Callable[[Call, str, Value, Sequence[Value]], Verdict]


@function("validate", 2)
def validate(call: Call, value: Value, *rules: Value) -> Value:
    """Return the value if it keeps all rules. Raises Fault for the first rule that it breaks."""
    for number, rule in enumerate(rules, 1):
        verdict = _numbered(call, number, value, rule)
        if not verdict.kept:
            raise Fault(f"condition {number} failed: {verdict.reason}")
    return value


@function("check", 2)
def check(call: Call, value: Value, *rules: Value) -> Value:
    """Return whether a value keeps all rules."""
    return all(_numbered(call, number, value, rule).kept for number, rule in enumerate(rules, 1))


def _numbered(call: Call, number: int, value: Value, rule: Value) -> Verdict:
    try:
        return judge(call, value, rule)
    except Fault as fault:
        raise Fault(f"condition {number} has problem: {fault}") from None


def judge(call: Call, value: Value, rule: Value) -> Verdict:
    """Apply a rule to a value. Raises Fault where the rule is not valid."""
    if rule is None:
        return _kept("no condition")
    if isinstance(rule, list):
        if not rule:
            raise Fault("validation type missing")
        rule, *arguments = rule
    else:
        arguments = []
    if isinstance(rule, Lambda):
        return _own(call, value, rule, arguments)
    if not isinstance(rule, str):
        raise Fault(f"unexpected validation type {quoted(type_name(rule))}")
    name = rule.removeprefix("!")
    verdict = _named(call, name, value, arguments)
    negated = (name != rule) != (name == "not")
    return replace(verdict, kept=verdict.kept != negated)


def _named(call: Call, name: str, value: Value, arguments: Sequence[Value]) -> Verdict:
    found = RULES.get(name)
    if found is None:
        raise Fault(f"unknown validation operator {quoted(name)}")
    return found(call, name, value, arguments)


def _own(call: Call, value: Value, rule: Lambda, arguments: Sequence[Value]) -> Verdict:
    """Apply a lambda as a rule. It returns a bool, or a list of it and the words for it, or for true and false."""
    expected = len(rule.parameters)
    if expected != len(arguments) + 1:
        raise Fault(
            f"argument count mismatch for lambda {rule}: expected {expected}, found {len(arguments) + 1}"
        )
    result = call.apply(rule, [value, *arguments])
    if not isinstance(result, list):
        result = [result]
    if not 1 <= len(result) <= 3:
        raise Fault(f"invalid result length of validator {rule}, got {len(result)}")
    words = result[1:] or [f"{rule} succeeded", f"{rule} failed"]
    for position, word in enumerate(words, 2):
        if not isinstance(word, str):
            raise Fault(
                f"lambda validator result index {position}: lambda validator requires string, but got {type_name(word)}"
            )
    kept = truth(result[0])
    return Verdict(kept, words[0] if kept else words[-1])


def _text(name: str, value: Value) -> str:
    if not isinstance(value, str):
        raise Fault(f"{name}: {name} requires string, but got {type_name(value)}")
    return value


def _list(call: Call, name: str, value: Value, arguments: Sequence[Value]) -> Verdict:
    if not isinstance(value, list):
        return _broken("is no list")
    if not arguments:
        return _kept("is a list")
    for position, entry in enumerate(value):
        for number, rule in enumerate(arguments):
            try:
                verdict = judge(call, entry, rule)
            except Fault as fault:
                raise Fault(f"list entry {position} condition {number}: {fault}") from None
            if not verdict.kept:
                return _broken(f"entry {position} condition {number} {verdict.reason}")
    return _kept("all entries match all conditions")


def _map(call: Call, name: str, value: Value, arguments: Sequence[Value]) -> Verdict:
    if not isinstance(value, dict):
        return _broken("is no map")
    if not arguments:
        return _kept("is a map")
    if len(arguments) > 2:
        raise Fault(f"map validator takes a maximum of two arguments, got {len(arguments)}")
    for key in sorted(value):
        if len(arguments) == 2:
            verdict = _within(call, f"map key {quoted(key)}", key, arguments[0])
            if not verdict.kept:
                return verdict
        verdict = _within(call, f"map entry {quoted(key)}", value[key], arguments[-1])
        if not verdict.kept:
            return verdict
    return _kept("all map entries and keys match")


def _within(call: Call, where: str, value: Value, rule: Value) -> Verdict:
    try:
        verdict = judge(call, value, rule)
    except Fault as fault:
        raise Fault(f"{where}: {fault}") from None
    return Verdict(verdict.kept, f"{where} {verdict.reason}")


def _field(call: Call, name: str, value: Value, arguments: Sequence[Value]) -> Verdict:
    if not isinstance(value, dict):
        return _broken("is no map")
    if not 1 <= len(arguments) <= 2:
        raise Fault(f"{name} requires one or two arguments")
    field = arguments[0]
    if not isinstance(field, str):
        raise Fault("field name must be string")
    if field not in value:
        optional = name == "optionalfield"
        return Verdict(optional, f"has no {'optional ' if optional else ''}field {quoted(field)}")
    if len(arguments) == 1:
        return _kept(f"map entry {quoted(field)} exists")
    return _within(call, f"map entry {quoted(field)}", value[field], arguments[1])


def _joined(reasons: Sequence[str]) -> str:
    return reasons[0] if len(reasons) == 1 else f"({' and '.join(reasons)})"


def _all(call: Call, name: str, value: Value, arguments: Sequence[Value]) -> Verdict:
    reasons = []
    for rule in _rules(arguments):
        verdict = judge(call, value, rule)
        if not verdict.kept:
            return verdict
        reasons.append(verdict.reason)
    return _kept(_joined(reasons))


def _any(call: Call, name: str, value: Value, arguments: Sequence[Value]) -> Verdict:
    reasons = []
    for rule in _rules(arguments):
        verdict = judge(call, value, rule)
        if verdict.kept:
            return verdict
        reasons.append(verdict.reason)
    return _broken(_joined(reasons))


def _rules(arguments: Sequence[Value]) -> Sequence[Value]:
    if not arguments:
        raise Fault("validator argument required")
    return arguments


def _empty(call: Call, name: str, value: Value, arguments: Sequence[Value]) -> Verdict:
    if not isinstance(value, (str, list, dict)):
        raise Fault(f"invalid type for empty: {type_name(value)}")
    return Verdict(not value, "is not empty" if value else "is empty")


def _valueset(call: Call, name: str, value: Value, arguments: Sequence[Value]) -> Verdict:
    if len(arguments) != 1 or not isinstance(arguments[0], list):
        raise Fault("valueset requires a list argument with possible values")
    if any(same(value, entry) for entry in arguments[0]):
        return _kept("matches valueset")
    return _broken(f"invalid value{_named_value(value)}")


def _named_value(value: Value) -> str:
    if isinstance(value, str):
        return f" {quoted(value)}"
    return f" {value}" if is_integer(value) else ""


def _value(call: Call, name: str, value: Value, arguments: Sequence[Value]) -> Verdict:
    if len(arguments) != 1:
        raise Fault("value requires a value argument")
    kept = same(arguments[0], value)
    text = f" {quoted(value)}" if isinstance(value, str) else ""
    return Verdict(kept, f"{'valid' if kept else 'invalid'} value{text}")


def _order(name: str, compare: Callable[[Value, Value], bool], kept: str, broken: str) -> dict[str, Rule]:
    """Return a comparison under its name and its sign. `kept` and `broken` are the words of its verdicts."""
    word, _, sign = name.partition(" ")

    def rule(call: Call, _: str, value: Value, arguments: Sequence[Value]) -> Verdict:
        if len(arguments) != 1:
            raise Fault(f"{word} requires a value argument")
        limit = arguments[0]
        if isinstance(limit, str):
            if not isinstance(value, str):
                raise Fault("must be string to compare to string")
        elif not _is_number(limit):
            raise Fault(f"invalid type {type_name(limit)}")
        elif not _is_number(value):
            raise Fault("must be number to compare to number")
        holds = compare(value, limit)
        return Verdict(holds, f"{kept if holds else broken} {shown(limit)}")

    return {word: rule, sign: rule}


def _is_number(value: Value) -> bool:
    return is_integer(value) or isinstance(value, float)


def _match(call: Call, name: str, value: Value, arguments: Sequence[Value]) -> Verdict:
    if len(arguments) != 1 or not isinstance(arguments[0], str):
        raise Fault("match requires a regexp argument")
    try:
        expression = re2.compiled(arguments[0])
    except re2.BadPattern as fault:
        raise Fault(f"regexp {arguments[0]}: {fault}") from None
    if not isinstance(value, str):
        raise Fault("no string to match regexp")
    found = expression.search(value) is not None
    return Verdict(found, f"{'valid' if found else 'invalid'} value {quoted(value)}")


def _type(call: Call, name: str, value: Value, arguments: Sequence[Value]) -> Verdict:
    for kind in arguments:
        if not isinstance(kind, str):
            raise Fault(f"type: type arg requires string, but got {type_name(kind)}")
        if kind == type_name(value):
            return _kept(f"is of type {kind}")
    return _broken(_joined([f"is not of type {kind}" for kind in arguments] or [""]))


def _text_rule(what: str, objections: Callable[[str], list[str]]) -> Rule:
    """Return a rule for strings. `objections` returns what is wrong with a string."""

    def rule(call: Call, name: str, value: Value, arguments: Sequence[Value]) -> Verdict:
        found = objections(_text(name, value))
        return Verdict(not found, f"is no {what}: [{' '.join(found)}]" if found else f"is {what}")

    return rule


def _dnsname(text: str) -> list[str]:
    return dnsnames.wildcard(text) and dnsnames.subdomain(text)


def _ip(call: Call, name: str, value: Value, arguments: Sequence[Value]) -> Verdict:
    text = _text(name, value)
    try:
        networks.parse_ip(text)
    except ValueError:
        return _broken(f"is no ip address: {text}")
    return _kept("is ip address")


def _cidr(call: Call, name: str, value: Value, arguments: Sequence[Value]) -> Verdict:
    try:
        networks.parse_cidr(_text(name, value))
    except ValueError as error:
        return _broken(f"is no CIDR: {error}")
    return _kept("is CIDR")


def _semver(call: Call, name: str, value: Value, arguments: Sequence[Value]) -> Verdict:
    try:
        version = versions.parsed(name, value)
    except Fault as fault:
        return _broken(str(fault))
    found = versions.objection(name, version, tuple(arguments))
    if found is not None:
        return _broken(found)
    return _kept("matches constraint" if arguments else "is semantic version")


def _pem(what: str, name: str) -> Rule:
    """Return a rule for keys or certificates; their module is imported when the rule is applied."""

    def rule(call: Call, _: str, value: Value, arguments: Sequence[Value]) -> Verdict:
        from tweed_shim.spiff.functions import keys

        if not isinstance(value, str):
            raise Fault(f"{name} requires string, but got {type_name(value)}")
        found = keys.objection(call, name, value)
        return Verdict(found is None, f"is {what}" if found is None else found)

    return rule


RULES: dict[str, Rule] = {
    "list": _list,
    "map": _map,
    "mapfield": _field,
    "optionalfield": _field,
    "and": _all,
    "not": _all,
    "": _all,
    "or": _any,
    "empty": _empty,
    "valueset": _valueset,
    "value": _value,
    "=": _value,
    **_order("gt >", lambda one, other: bool(one > other), "greater than", "less or equal to"),
    **_order("lt <", lambda one, other: bool(one < other), "less or equal to", "greater than"),
    **_order("ge >=", lambda one, other: bool(one >= other), "greater or equal to", "less than"),
    **_order("le <=", lambda one, other: bool(one <= other), "less than", "greater or equal to"),
    "match": _match,
    "~=": _match,
    "type": _type,
    "dnsname": _text_rule("dns name", _dnsname),
    "dnslabel": _text_rule("dns label", dnsnames.label),
    "dnsdomain": _text_rule("dns domain", dnsnames.subdomain),
    "wildcarddnsdomain": _text_rule("wildcard dns domain", dnsnames.wildcard),
    "ip": _ip,
    "cidr": _cidr,
    "semver": _semver,
    "publickey": _pem("public key", "publickey"),
    "privatekey": _pem("private key", "privatekey"),
    "certificate": _pem("certificate", "certificate"),
    "ca": _pem("ca", "ca"),
}

"""Frozen records: like `@dataclass(frozen=True, slots=True)`, without the time that this takes.

The standard library's decorator compiles half a dozen functions for each class while its module is imported: a quarter
of a millisecond, and `toi bootstrap` imports a hundred such classes. Here they are inherited. One thing
is different: the representation leaves out the fields in `HIDDEN`.
"""

import sys
from collections.abc import Mapping
from types import MappingProxyType

from tweed_shim.base.lean.typing import Any, TypeVar, dataclass_transform
from tweed_shim.base.option_values import argument, checks

# The default of a field that is a map; records are not changed, so all can share it.
EMPTY: Mapping[str, Any] = {}

_set = object.__setattr__


def _annotated(namespace: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names that the body of a class annotates."""
    if sys.version_info >= (3, 14) and "__annotations__" not in namespace:
        from annotationlib import Format, call_annotate_function, get_annotate_from_class_namespace

        annotate = get_annotate_from_class_namespace(namespace)
        return tuple(call_annotate_function(annotate, Format.FORWARDREF)) if annotate else ()
    return tuple(namespace.get("__annotations__", ()))


class _RecordType(type):
    """The metaclass, which makes the annotated names of a class its fields, after those of its base."""

    def __new__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], *, frozen: bool = True
    ) -> "_RecordType":
        own = _annotated(namespace)
        defaults = {field: namespace.pop(field) for field in own if field in namespace}
        if bases:
            namespace["FIELDS"] = (*getattr(bases[0], "FIELDS", ()), *own)
            namespace["DEFAULTS"] = {**getattr(bases[0], "DEFAULTS", {}), **defaults}
            if "CHECKS" in namespace:
                namespace["CHECKS"] = {**getattr(bases[0], "CHECKS", {}), **namespace["CHECKS"]}
                namespace["__init__"] = _init_checked
        namespace["__slots__"] = (*own, *namespace.get("__slots__", ()))
        if not frozen:
            namespace["__setattr__"] = _set
        return super().__new__(cls, name, bases, namespace)


@dataclass_transform(frozen_default=True)
class Record(metaclass=_RecordType):
    """The base of a record, whose fields are the names that its class annotates.

    `frozen=False` after the base makes one that can be changed. `HIDDEN` names fields that may hold secrets;
    `DEFAULTS` are the defaults by the names of the fields. `CHECKS`, where a class has them, are applied to its fields
    when it is created: the field gets what the check returns. They raise ConfigError.
    """

    # Not annotated, or they would be fields.
    FIELDS = tuple[str, ...]()
    DEFAULTS = MappingProxyType[str, Any]({})
    HIDDEN = tuple[str, ...]()
    CHECKS = checks()

    def __init__(self, *values: Any, **named: Any) -> None:
        names = self.FIELDS
        for name, value in zip(names, values, strict=False):
            _set(self, name, value)
        if len(values) == len(names) and not named:
            return
        for name in names[len(values) :]:
            if name in named:
                _set(self, name, named.pop(name))
            elif name in self.DEFAULTS:
                _set(self, name, self.DEFAULTS[name])
            else:
                raise TypeError(f"{type(self).__name__} needs {name!r}")
        if named or len(values) > len(names):
            raise TypeError(f"{type(self).__name__} has the fields {', '.join(names)} only")

    def __setattr__(self, name: str, value: object) -> None:
        """Raise AttributeError: a record does not change."""
        raise AttributeError(
            f"{type(self).__name__}.{name} is never changed: use tweed_shim.base.records.replace"
        )

    def __delattr__(self, name: str) -> None:
        """Raise AttributeError."""
        raise AttributeError(f"{type(self).__name__}.{name} is never removed")

    def __eq__(self, other: object) -> bool:
        """Tell whether another object has the same class and equal fields."""
        return type(self) is type(other) and all(
            getattr(self, name) == getattr(other, name) for name in self.FIELDS
        )

    def __hash__(self) -> int:
        """Return the hash of all fields."""
        return hash(tuple([getattr(self, name) for name in self.FIELDS]))

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to copy and pickle the record."""
        return type(self), tuple(fields(self).values())

    def __repr__(self) -> str:
        """Return the class and its fields as text, without those in HIDDEN."""
        shown = [f"{name}={getattr(self, name)!r}" for name in self.FIELDS if name not in self.HIDDEN]
        return f"{type(self).__name__}({', '.join(shown)})"


def _init_checked(self: Record, *values: Any, **named: Any) -> None:
    """Initialise a record and apply its CHECKS. Only classes with CHECKS have this constructor, which is slower."""
    Record.__init__(self, *values, **named)
    for name, check in self.CHECKS.items():
        _set(self, name, argument(name, getattr(self, name), check))


_R = TypeVar("_R", bound=Record)


def fields(record: Record) -> dict[str, Any]:
    """Return the values of a record by the names of its fields."""
    return {name: getattr(record, name) for name in record.FIELDS}


def replace(record: _R, **changes: Any) -> _R:
    """Return a copy of a record with some fields changed."""
    return type(record)(**fields(record) | changes)

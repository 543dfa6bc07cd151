"""What the tests of the language are written with."""

import json
from typing import Any

import pytest

from tweed_shim import spiff

UNDEFINED = "(no such entry)"


def exact(value: object) -> str:
    """A value as text that tells 1, 1.0 and true apart, whatever the order of keys."""
    return json.dumps(value, sort_keys=True, indent=1)


def evaluate(expression: str, document: str = "", *stubs: str, **options: Any) -> Any:
    """What an expression is worth as the entry `result` of a document; UNDEFINED where the entry vanishes."""
    template = f"{document}\nresult: {json.dumps(f'(( {expression} ))')}\n"
    return spiff.merge(template, *stubs, **options).get("result", UNDEFINED)


def fault(expression: str, document: str = "", *stubs: str, **options: Any) -> str:
    """The message of the error that an expression as the entry `result` of a document ends in."""
    with pytest.raises(spiff.SpiffError) as refusal:
        evaluate(expression, document, *stubs, **options)
    return str(refusal.value)


def refused(template: str, *stubs: str, **options: Any) -> str:
    """The message of the error that a merge ends in."""
    with pytest.raises(spiff.SpiffError) as refusal:
        spiff.merge(template, *stubs, **options)
    return str(refusal.value)

"""Records behave like frozen dataclasses with slots."""

import ast
import copy
import pickle
from pathlib import Path

import pytest

import tweed_shim
from tweed_shim.base.records import Record, fields, replace


class Point(Record):
    x: int
    y: int = 2
    label = "not a field"


class Named(Point):
    HIDDEN = ("secret",)

    name: str = ""
    secret: str = "s3cret"


class Counter(Record, frozen=False):
    count: int = 0


def test_the_annotated_names_are_the_fields_those_of_the_base_first() -> None:
    assert fields(Named(1)) == {"x": 1, "y": 2, "name": "", "secret": "s3cret"}
    assert fields(Named(1, 5, "n", secret="t")) == {"x": 1, "y": 5, "name": "n", "secret": "t"}
    assert fields(Named(x=3, name="n")) == {"x": 3, "y": 2, "name": "n", "secret": "s3cret"}


@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), ((1, 2, 3), {}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((1, 2), {"y": 2}), ((), {"y": 1})],
)
def test_fields_that_are_missing_unknown_or_given_twice_are_refused(
    values: tuple[int, ...], named: dict[str, int]
) -> None:
    with pytest.raises(TypeError, match=r"^Point "):
        Point(*values, **named)


def test_a_record_does_not_change_unless_its_class_says_so() -> None:
    point = Point(1)
    for name in ("x", "z"):
        with pytest.raises(AttributeError, match=f"Point.{name} is never changed"):
            setattr(point, name, 2)
    with pytest.raises(AttributeError):
        del point.x
    assert point == Point(1)
    counter = Counter()
    counter.count += 1
    assert (counter.count, Counter().count) == (1, 0)
    with pytest.raises(AttributeError):
        setattr(counter, "other", 1)  # noqa: B010 - a type checker knows that there is no such field


def test_records_are_equal_where_their_class_and_fields_are() -> None:
    assert Point(1, 2) == Point(1)
    assert Point(1) != Point(2)
    assert Point(1) != Named(1)
    assert Point(1) != (1, 2)
    assert len({Point(1), Point(1, 2), Point(2), Named(1)}) == 3


def test_a_record_with_other_values_is_another_one() -> None:
    named = Named(1, name="n")
    assert replace(named, x=4) == Named(4, name="n")
    assert named.x == 1
    with pytest.raises(TypeError, match=r"^Named "):
        replace(named, z=1)


def test_a_record_is_copied_and_pickled() -> None:
    named = Named(1, name="n")
    assert copy.copy(named) == copy.deepcopy(named) == pickle.loads(pickle.dumps(named)) == named


def test_what_may_be_secret_is_not_shown() -> None:
    assert repr(Named(1, name="n")) == "Named(x=1, y=2, name='n')"


def test_no_module_takes_a_record_for_an_object_with_a_dictionary() -> None:
    """A record has none: `records.fields` gives its values. A type checker does not know better."""
    # Errors are no records: they have a dictionary, and are pickled with it.
    sources = [path for path in Path(tweed_shim.__file__).parent.rglob("*.py") if path.name != "errors.py"]
    wanted = {"__dict__", "asdict", "astuple", "vars"}
    found = [
        f"{path}:{node.lineno}"
        for path in sources
        for node in ast.walk(ast.parse(path.read_bytes()))
        if (isinstance(node, ast.Attribute) and node.attr in wanted)
        or (isinstance(node, ast.Name) and node.id in wanted)
    ]
    assert found == []

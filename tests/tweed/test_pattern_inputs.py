"""The inputs of a pattern's instance: read, merged, validated by the image's inputs, and encoded."""

import copy
import json
import os
import signal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tweed_shim.data import schema_worker
from tweed_shim.errors import ConfigError, ContractError, HostError
from tweed_shim.tweed import pattern_inputs, schema
from tweed_shim.tweed.pattern_inputs import INPUTS, PLAN, Source

PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
METADATA_INPUTS = {
    "size": {"type": "string", "enum": ["small", "large"]},
    "port": PORT,
    "tls": {"type": "object", "required": ["key"], "properties": {"key": {"type": "string"}, "port": PORT}},
    "nodes": {"type": "array", "items": {"type": "object", "properties": {"port": PORT}}},
}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=10,
)
maps = st.dictionaries(st.sampled_from("abcd"), json_values, max_size=4)


def merge_by_paths(plan: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    """The same merge, written as one assignment for each value of the inputs that is no map with content."""
    merged = copy.deepcopy(plan)

    def assign(target: dict[str, Any], name: str, value: Any) -> None:
        if not isinstance(value, dict) or not isinstance(target.get(name), dict):
            target[name] = copy.deepcopy(value)
            return
        for inner in value:
            assign(target[name], inner, value[inner])

    for name, value in inputs.items():
        assign(merged, name, value)
    return merged


def fault(plan: dict[str, Any] | None, inputs: dict[str, Any] | None, metadata_inputs: Any = None) -> str:
    encoded = pattern_inputs.encode(pattern_inputs.merge(plan, inputs))
    with pytest.raises(ConfigError) as caught:
        pattern_inputs.validate(encoded, metadata_inputs or METADATA_INPUTS, plan=plan, inputs=inputs)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("source", [PLAN, INPUTS])
def test_json_and_yaml_are_read(source: Source) -> None:
    for data, name in [
        (b'{"size": "small"}', "shop.json"),
        (b"size: small\n", "shop.yml"),
        (b"{size: small}", "-"),
    ]:
        assert pattern_inputs.read(data, source, name=name) == {"size": "small"}


@pytest.mark.parametrize(
    ("data", "name", "source", "said"),
    [
        (b"size: small\n", "shop.json", PLAN, "shop.json is not JSON: line 1, column 1: expecting value"),
        (
            b"",
            "shop.yml",
            INPUTS,
            "shop.yml is empty: the inputs must be a map of names to values; write {} where there are none",
        ),
        (
            b"[1]",
            "shop.yml",
            PLAN,
            "shop.yml is no map: the plan must be a map of names to values; write {} where there are none",
        ),
        (b"a: 1\na: 2\n", "shop.yml", PLAN, "shop.yml, line 2: the key a is there twice (first on line 1)"),
    ],
)
def test_a_document_that_cannot_be_read_is_refused(data: bytes, name: str, source: Source, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        pattern_inputs.read(data, source, name=name)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("plan", "inputs", "merged"),
    [
        (None, None, {}),
        ({"a": 1}, None, {"a": 1}),
        (None, {"a": 1}, {"a": 1}),
        ({"a": {"b": 1, "c": {"d": 1}}}, {"a": {"c": {"e": 2}}}, {"a": {"b": 1, "c": {"d": 1, "e": 2}}}),
        ({"a": [1, 2, 3]}, {"a": [4]}, {"a": [4]}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": {"b": 1}}, {"a": 5}, {"a": 5}),
        ({"a": 5}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": 1}}),
        ({"a": [{"b": 1}]}, {"a": [{"c": 1}]}, {"a": [{"c": 1}]}),
    ],
)
def test_maps_are_merged_deeply_and_all_else_is_replaced(plan: Any, inputs: Any, merged: Any) -> None:
    assert pattern_inputs.merge(plan, inputs) == merged


def test_the_names_of_the_plan_come_first() -> None:
    merged = pattern_inputs.merge({"z": 1, "m": {"y": 1, "b": 2}}, {"a": 3, "m": {"a": 1, "y": 2}, "z": 0})
    assert pattern_inputs.encode(merged) == b'{"z": 0, "m": {"y": 2, "b": 2, "a": 1}, "a": 3}\n'


@given(maps, maps)
def test_a_merge_is_one_assignment_for_each_value_and_changes_no_argument(
    plan: dict[str, Any], inputs: dict[str, Any]
) -> None:
    before = copy.deepcopy((plan, inputs))
    merged = pattern_inputs.merge(plan, inputs)
    assert merged == merge_by_paths(plan, inputs)
    assert (plan, inputs) == before
    assert pattern_inputs.merge(merged, inputs) == merged
    assert json.loads(pattern_inputs.encode(merged)) == merged


def test_a_name_that_is_a_number_in_python_is_the_same_name_in_both() -> None:
    ports: Any = {"ports": {80: "a", 81: "b"}}
    merged = pattern_inputs.merge(ports, {"ports": {"80": "c"}})
    assert merged == {"ports": {"80": "c", "81": "b"}}


@pytest.mark.parametrize("source", [PLAN, INPUTS])
def test_an_argument_that_is_no_map_is_refused(source: Source) -> None:
    wrong: Any = ["hunter2"]
    with pytest.raises(ConfigError) as caught:
        pattern_inputs.merge(*((wrong, None) if source == PLAN else (None, wrong)))
    argument = "plan" if source == PLAN else "inputs"
    assert str(caught.value) == (
        f"argument {argument}: this list does not map names to values; use a dict whose keys are strings"
    )


@pytest.mark.parametrize("value", [float("nan"), b"x", {1, 2}, "\ud800", {(1,): 2}])
def test_a_value_that_json_cannot_express_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="the plan holds a value that JSON cannot hold"):
        pattern_inputs.merge({"a": value}, {})
    with pytest.raises(ConfigError, match="the inputs hold a value that JSON cannot hold"):
        pattern_inputs.merge({}, {"a": value})


def test_values_that_are_nested_without_end_or_too_deeply_are_refused() -> None:
    endless: dict[str, Any] = {}
    endless["a"] = endless
    with pytest.raises(ConfigError, match="JSON cannot hold"):
        pattern_inputs.merge(endless, endless)
    deep: dict[str, Any] = {}
    for _ in range(101):
        deep = {"a": deep}
    with pytest.raises(ConfigError, match="the inputs, line 1: it is nested more than 100 levels deep"):
        pattern_inputs.merge({}, deep)


def test_inputs_of_more_than_four_mebibytes_are_refused() -> None:
    half = "x" * ((2 << 20) - 8)
    fitting = pattern_inputs.merge({"a": half}, {"b": half[:-2]})
    assert len(pattern_inputs.encode(fitting)) == (4 << 20) + 1
    for plan, inputs in (({"a": half}, {"b": half[:-1]}), (None, {"a": half, "b": half[:-1]})):
        with pytest.raises(ConfigError) as caught:
            pattern_inputs.encode(pattern_inputs.merge(plan, inputs))
        assert str(caught.value) == (
            "the plan and the inputs have more than 4 MiB together, which is the most that an image gets; "
            "make them smaller and provision again"
        )


@pytest.mark.parametrize("metadata_inputs", [None, {}, METADATA_INPUTS])
def test_valid_inputs_are_accepted(metadata_inputs: Any) -> None:
    plan, inputs = {"size": "small", "tls": {"port": 1}}, {"tls": {"key": "hunter2"}}
    encoded = pattern_inputs.encode(pattern_inputs.merge(plan, inputs))
    pattern_inputs.validate(encoded, metadata_inputs, plan=plan, inputs=inputs)


@pytest.mark.parametrize(
    ("plan", "inputs", "problems"),
    [
        (None, {"port": 0}, "port must be at least 1"),
        ({}, {"port": 0}, "port must be at least 1"),
        ({"port": 0}, None, "port must be at least 1 (set by the plan)"),
        ({"size": "small"}, {"port": 0}, "port must be at least 1 (set by the inputs)"),
        ({"port": 1}, {"port": 0}, "port must be at least 1 (set by the inputs)"),
        ({"tls": {"port": 0}}, {"tls": {"key": "k"}}, "tls.port must be at least 1 (set by the plan)"),
        ({"tls": {"key": "k"}}, {"tls": {"port": 0}}, "tls.port must be at least 1 (set by the inputs)"),
        ({"tls": {"port": 1}}, {"tls": {"port": 1}}, "tls.key is required"),
        ({"tls": {"port": 1}}, None, "tls.key is required"),
        ({"tls": {"key": "k"}}, {"tls": [1]}, "tls must be a map (set by the inputs)"),
        (
            {"nodes": [{"port": 1}, {"port": 0}]},
            {"size": "small"},
            "nodes[1].port must be at least 1 (set by the plan)",
        ),
        (
            {"nodes": [{"port": 1}]},
            {"nodes": [{"port": 0}, {"port": 0}]},
            "nodes[0].port must be at least 1 (set by the inputs); "
            "nodes[1].port must be at least 1 (set by the inputs)",
        ),
        (
            {"sizes": "hunter2"},
            {"nods": []},
            'sizes is not known here (did you mean "size"?) (set by the plan); '
            'nods is not known here (did you mean "nodes"?) (set by the inputs)',
        ),
    ],
)
def test_each_fault_is_named_with_its_path_and_the_document_that_set_it(
    plan: Any, inputs: Any, problems: str
) -> None:
    assert fault(plan, inputs) == (
        f"the inputs do not fit what the image asks for: {problems}; correct them and provision again"
    )


def test_a_fault_of_all_inputs_has_no_path() -> None:
    message = fault({"a": 1}, {"b": 2}, {"type": "object", "maxProperties": 1})
    assert "the whole must hold 1 or fewer names; correct them" in message


def test_no_message_holds_a_value() -> None:
    for inputs in ({"port": "hunter2"}, {"size": "hunter2"}, {"tls": {"key": ["hunter2"]}}):
        assert "hunter2" not in fault({"port": 1}, inputs)


@given(maps, maps)
def test_the_document_that_set_a_value_has_it(plan: dict[str, Any], inputs: dict[str, Any]) -> None:
    def paths(value: Any, path: tuple[str | int, ...]) -> Any:
        yield path, value
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in entries:
            if isinstance(inner, dict | list):
                yield from paths(inner, (*path, key))
            else:
                yield (*path, key), inner

    def at(value: Any, path: tuple[str | int, ...]) -> Any:
        for key in path:
            value = value[key]
        return value

    for path, value in paths(pattern_inputs.merge(plan, inputs), ()):
        source = pattern_inputs._source(path, plan, inputs)
        if source is not None:
            assert at(plan if source == PLAN else inputs, path) == value
        else:
            assert isinstance(at(plan, path), dict)
            assert isinstance(at(inputs, path), dict)


def test_a_schema_that_cannot_be_applied_is_the_images_fault() -> None:
    with pytest.raises(ContractError, match="the JSON Schema of the image's inputs cannot be applied"):
        pattern_inputs.validate(b'{"a": 1}\n', {"a": {"$ref": "#/nowhere"}})


def test_messages_about_the_check_itself_name_the_inputs() -> None:
    with schema_worker.SchemaWorker() as worker:
        worker.start()
        while worker._process.pid is None:
            assert worker._process.hear()
        os.kill(worker._process.pid, signal.SIGKILL)
        with pytest.raises(HostError) as caught:
            worker.faults({}, b"{}", what=schema.NAME, value_name=INPUTS)
    assert str(caught.value) == (
        "the inputs could not be checked: the process that checks schemas was ended by SIGKILL; run it again"
    )

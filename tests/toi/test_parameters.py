"""Parameters: schemes, templates, libraries, and the parameter mapping of an executor."""

import math
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tweed_shim.data.schema_worker import SchemaWorker
from tweed_shim.errors import ConfigError, ContractError
from tweed_shim.host.worker_process import WorkerProcess
from tweed_shim.spiff import SpiffError
from tweed_shim.toi import credential_functions, parameters
from tweed_shim.toi.common_fields import Templating
from tweed_shim.toi.parameters import Document, TemplateInput
from tweed_shim.toi.templates import Functions, Mode, Templates

SCHEME = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
}


def process(text: str, *libraries: str, mode: Mode = "private", **templating: Any) -> Any:
    stubs = [Document(each, f"library {number}") for number, each in enumerate(libraries)]
    source = TemplateInput(text, "the parameters", "it")
    with SchemaWorker() as schema_worker, WorkerProcess() as worker:
        templates = Templates(mode, worker)
        return parameters.process(
            source, Templating(**templating), stubs, templates=templates, schema_worker=schema_worker
        )


def map_parameters(mapping: Any, values: Any, functions: Functions) -> Any:
    with WorkerProcess() as worker:
        return parameters.map_parameters(
            mapping, values, functions, whose="it", templates=Templates("private", worker)
        )


class NoWorker(WorkerProcess):
    def call(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("the worker is called")


def test_the_worker_is_called_only_where_a_template_has_expressions() -> None:
    templates = Templates("private", NoWorker())
    plain = Document("a: b (c)\nd: [1, '<']", "plain")
    assert templates.merge_single(plain, [plain]) == {"a": "b (c)", "d": [1, "<"]}
    for text in ("a: (( 1 ))", "a: {<<if: true, <<then: 1}", r'"a": "\x28( 1 ))"', r'"\x3c\x3cif": true'):
        for template, stub in ((Document(text, "it"), plain), (plain, Document(text, "it"))):
            with pytest.raises(AssertionError, match="the worker is called"):
                templates.merge_single(template, [stub])


@pytest.mark.parametrize("text", ["", "\n# nothing\n"])
def test_empty_input_without_a_template_makes_no_parameters(text: str) -> None:
    assert process(text) is None
    assert process(text, scheme={"type": "object"}) is None
    assert process(text, template={"a": 1}) == {"a": 1}
    assert process(text, template={"a": 1}, scheme={"type": "object"}) == {"a": 1}


def test_parameters_without_a_template_are_evaluated_as_a_template() -> None:
    assert process("a: (( b + 1 ))\nb: 2\nc: see (( b ))") == {"a": 3, "b": 2, "c": "see 2"}
    assert process("a: (( merge lib ))", "lib: value") == {"a": "value"}
    assert process("a: yes\nb: 0x10\nc: ~\nd: {}") == {"a": True, "b": 16, "c": None, "d": {}}


def test_the_parameters_are_the_first_stub_of_the_template_and_libraries_the_next() -> None:
    template = {"name": "(( merge ))", "from": "(( merge origin ))", "size": 1, "more": "(( merge || 0 ))"}
    template["control"] = {"<<if": "(( true ))", "<<then": "yes"}
    result = process("name: mine\nsize: 2", "origin: lib", template=template)
    assert result == {"name": "mine", "from": "lib", "size": 2, "more": 0, "control": "yes"}


def test_the_scheme_validates_the_input_and_not_the_template() -> None:
    template = {"name": "(( merge ))", "size": "many"}
    assert process("name: x", template=template, scheme=SCHEME) == {"name": "x", "size": "many"}
    # Expressions of the input are resolved before it is validated.
    assert process('name: (( "a" "b" ))\nsize: (( merge num ))', "num: 3", scheme=SCHEME) == {
        "name": "ab",
        "size": 3,
    }


def test_every_fault_of_parameters_is_reported_with_its_path_and_without_its_value() -> None:
    with pytest.raises(ConfigError) as caught:
        process("size: secret\nother: 1", template={}, scheme=SCHEME)
    message = str(caught.value)
    for fault in ("name is required", "size must be a whole number", "other is not known here"):
        assert fault in message
    assert "secret" not in message
    assert message.startswith("the parameters do not fit it: ")
    with pytest.raises(ConfigError, match="name is required"):
        process("", scheme=SCHEME)


def test_infinite_numbers_are_kept_and_a_scheme_cannot_validate_them() -> None:
    text = "a: .inf\nb: [1, -.inf]"
    result = {"a": math.inf, "b": [1, -math.inf]}
    assert process(text) == result
    assert process(text, template={"a": 1, "b": "(( merge ))"}) == result
    functions = credential_functions.functions({})
    mapping = {"got": "(( merge a ))"}
    assert map_parameters(mapping, result, functions) == {"got": math.inf}
    with pytest.raises(
        ConfigError,
        match=r"the parameters have infinite numbers or NaN at .*b\[1\].*, which the scheme .* of it cannot validate",
    ):
        process(text, scheme={})


def test_a_scheme_without_a_dialect_is_draft_7() -> None:
    pair: Any = {"type": "object", "properties": {"a": {"items": [{"type": "string"}, {"type": "integer"}]}}}
    assert process("a: [x, 1]", scheme=pair) == {"a": ["x", 1]}
    with pytest.raises(ConfigError, match=r"a\[1\] must be a whole number"):
        process("a: [x, y]", scheme=pair)


def test_formats_of_a_scheme_are_checked() -> None:
    scheme = {
        "properties": {"host": {"format": "hostname"}, "day": {"format": "date"}, "size": {"format": "int32"}}
    }
    assert process("host: db.internal\nsize: 5", scheme=scheme) == {"host": "db.internal", "size": 5}
    with pytest.raises(ConfigError, match='host must be a valid "hostname"; day must be a valid "date"'):
        process("host: a b\nday: 20240101", scheme=scheme)


@pytest.mark.parametrize(
    ("scheme", "message"),
    [
        ({"type": "thing"}, "the scheme .* of it is not valid: type must be"),
        ({"$ref": "http://example.com/x"}, "is never fetched"),
        ({"$ref": "#/nowhere"}, "cannot be applied"),
        ({"$schema": "urn:unknown"}, "is not a known dialect"),
    ],
)
def test_an_invalid_scheme_is_refused(scheme: Any, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        process("a: 1", scheme=scheme)


def test_unresolved_expressions_of_a_template_are_listed() -> None:
    with pytest.raises(SpiffError) as caught:
        process("b: 1", template={"a": "(( missing ))", "c": {"d": "(( merge ))"}})
    assert [each.path for each in caught.value.nodes] == [("a",), ("c", "d")]
    with pytest.raises(ConfigError, match="holds 2 documents"):
        process("a: 1\n---\nb: 2")


def test_a_template_reaches_nothing_of_the_host_without_trust_templates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOI_TEST", "from the environment")
    (tmp_path / "file").write_text("from a file")
    reaching = {
        "file": f'(( read("{tmp_path}/file", "text") ))',
        "program": '(( exec("echo", "from a program") ))',
        "variable": '(( env("TOI_TEST") ))',
    }
    for name, expression in reaching.items():
        with pytest.raises(SpiffError, match="no OS operations"):
            process("", template={name: expression})
        with pytest.raises(SpiffError, match="no OS operations"):
            process(yaml.safe_dump({name: expression}))
    result = process("", template=reaching, mode="system")
    assert list(result.values()) == ["from a file", "from a program", "from the environment"]
    assert os.listdir(tmp_path) == ["file"]


VALUES = {"target": {"user": "u", "password": "p"}, "token": {"value": "t"}, "none": {}}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ('getCredentials("target")', {"user": "u", "password": "p"}),
        ('getCredentials("target", "user")', "u"),
        ('getCredentials("token", "*")', "t"),
        ('getCredentials("token", "")', "t"),
        ('getCredentials("none", "*")', ""),
        ('hasCredentials("target")', True),
        ('hasCredentials("other")', False),
        ('hasCredentials("other", "user")', False),
        ('hasCredentials("target", "user")', True),
        ('hasCredentials("target", "else")', False),
        ('hasCredentials("target", "*")', False),
        ('hasCredentials("token", "*")', True),
        ('(hasCredentials("other") ? getCredentials("other") :"none")', "none"),
    ],
)
def test_credential_functions_return_credentials_and_properties(expression: str, value: Any) -> None:
    functions = credential_functions.functions(VALUES)
    mapping = {"got": f"(( {expression} ))", "kept": "(( merge ))"}
    result = map_parameters(mapping, {"kept": 1}, functions)
    assert result == {"got": value, "kept": 1}


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ('getCredentials("other")', "credential 'other' not found"),
        ('getCredentials("target", "else")', "no property 'else' in the credential 'target'"),
        ('getCredentials("target", "*")', "several properties in the credential 'target'"),
        ("getCredentials()", "the name of a credential is needed"),
        ("hasCredentials(1)", "the name of a credential is needed"),
        ('hasCredentials("a", "b", "c")', "the name of a credential is needed"),
    ],
)
def test_credential_functions_refuse_wrong_arguments(expression: str, message: str) -> None:
    with pytest.raises(SpiffError, match=message):
        map_parameters({"got": f"(( {expression} ))"}, None, credential_functions.functions(VALUES))

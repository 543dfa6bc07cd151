"""oras is imported without loading jsonschema, and both work as ever."""

import subprocess
import sys

import pytest


def _python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_talking_to_a_registry_does_not_import_jsonschema() -> None:
    code = "import sys, tweed_shim.image.remote; print('jsonschema' in sys.modules)"
    assert _python(code) == "False"


def test_a_later_import_gives_the_real_module() -> None:
    code = "import tweed_shim.image.remote; import jsonschema.exceptions; print(jsonschema.__spec__.name)"
    assert _python(code) == "jsonschema"


@pytest.mark.parametrize("before", ["", "import jsonschema.validators; "])
def test_oras_itself_validates_as_ever(before: str) -> None:
    code = f"""{before}
import tweed_shim.image.remote, oras.provider
try:
    oras.provider.jsonschema.validate(1, schema={{"type": "string"}})
except oras.provider.jsonschema.ValidationError as error:
    import jsonschema
    print(type(error) is jsonschema.ValidationError)
"""
    assert _python(code) == "True"

"""The JSON reader of the sample images, which is busybox's awk, against Python's."""

import json
import os
import subprocess
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sample_images import PROJECT

READER = os.path.join(PROJECT, "bundles/shared/json/usr/lib/json/json.awk")
KNOWN = "name:string text:string count:number flag:boolean"


def read(document: bytes, *options: str) -> tuple[int, dict[str, str], str]:
    """What the reader makes of a document: its exit code, the values it wrote, its complaint."""
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            ["busybox", "awk", "-v", f"dir={directory}", "-v", f"known={KNOWN}", *options, "-f", READER],
            input=document,
            capture_output=True,
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            check=False,
        )
        values = {}
        for name in os.listdir(directory):
            with open(os.path.join(directory, name), "rb") as file:
                values[name] = file.read().decode()
        return done.returncode, values, done.stderr.decode()


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@settings(max_examples=150, deadline=None)
@given(
    st.fixed_dictionaries(
        {}, optional={"name": texts, "text": texts, "count": st.integers(), "flag": st.booleans()}
    ),
    st.booleans(),
    st.sampled_from([None, 0, 3]),
)
def test_every_flat_object_is_read_as_it_was_written(
    value: dict[str, str | int], ascii_only: bool, indent: int | None
) -> None:
    document = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    expected = {name: each if isinstance(each, str) else json.dumps(each) for name, each in value.items()}
    assert read(document) == (0, expected, "")


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from('{}[]",:\\u0aD8\n\t 1e.-+nametext')))
def test_what_python_refuses_is_refused_too(text: str) -> None:
    code, values, _ = read(b'{"name"' + text.encode())
    try:
        expected = json.loads('{"name"' + text)
    except ValueError:
        assert (code, values) == (1, {})
    else:
        assert code == 1 or values == expected


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ("", "'{' is missing at its beginning"),
        ("[]", "'{' is missing at its beginning"),
        ("{", "'\"' is missing in front of a name"),
        ("{} {}", "something follows its end"),
        ('{"name": "a",}', "'\"' is missing in front of a name"),
        ('{"name" "a"}', "':' is missing after 'name'"),
        ('{"name": "a", "name": "b"}', "'name' is there twice"),
        ('{"other": 1}', "a property that is not known; those known are name text count flag"),
        ('{"name": 1}', "the value of 'name' is not a string"),
        ('{"count": "1"}', "the value of 'count' is not a number"),
        ('{"flag": 1}', "the value of 'flag' is not a boolean"),
        ('{"name": true}', "the value of 'name' is not a string"),
        ('{"flag": truer}', "'}' is missing at its end"),
        ('{"count": 01}', "'}' is missing at its end"),
        ('{"name": null}', "the value of 'name' is no string, number or boolean"),
        ('{"name": {}}', "the value of 'name' is no string, number or boolean"),
        ('{"name": "a', "a string has no end"),
        ('{"name": "a\\x"}', "an escape in a string is not JSON's"),
        ('{"name": "a\tb"}', "a control character stands in a string"),
        ('{"name": "\\u12"}', "a \\u escape is cut short"),
        ('{"name": "\\u0000"}', "a zero character"),
        ('{"name": "\\ud83d"}', "half of a surrogate pair is missing"),
        ('{"name": "\\udd11\\ud83d"}', "half of a surrogate pair is missing"),
    ],
)
def test_what_cannot_be_taken_is_named(document: str, complaint: str) -> None:
    code, values, words = read(document.encode())
    assert (code, values) == (1, {})
    assert words.startswith("The configuration cannot be taken: ")
    assert complaint in words
    assert words.count("\n") == 1


def test_the_subject_of_the_message_can_be_named() -> None:
    assert read(b"[]", "-v", "what=The input") == (
        1,
        {},
        "The input cannot be taken: '{' is missing at its beginning.\n",
    )

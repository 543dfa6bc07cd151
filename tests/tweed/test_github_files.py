"""The formats of GitHub: its runner reads back what is appended to its files, and masks the values."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from github_runner import masked, read_file
from tweed_shim.errors import RefusedFormat, SteeringVariable
from tweed_shim.tweed import credentials, environment, github_files

names = st.from_regex(r"T_[A-Za-z0-9_]{0,12}", fullmatch=True)
values = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40) | st.text(
    "'\"\\$`\n\r\t #<=:%0ADé", max_size=12
)
environments = st.dictionaries(names, values, max_size=6)


@given(environments, st.sampled_from(["github", "github-output"]))
def test_the_runner_reads_back_what_is_printed(variables: dict[str, str], kind: str) -> None:
    assert read_file(environment.render(variables, kind)) == variables


def test_a_delimiter_is_random_and_not_in_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (
        re.search("<<(.*)", environment.render({"A": "x"}, "github")).group(1)  # type: ignore[union-attr]  # it matches
        for _ in range(2)
    )
    assert one != two
    assert len(one) >= 32
    drawn = iter(["taken", "free"])
    monkeypatch.setattr(github_files, "_random_delimiter", lambda: next(drawn))
    assert github_files.blocks({"A": "x\ntaken\nB=1"}) == "A<<free\nx\ntaken\nB=1\nfree\n"


@given(st.lists(values, max_size=4))
def test_no_line_of_a_value_appears_in_a_log(secrets: list[str]) -> None:
    printed = github_files.masks(secrets)
    known = masked(printed)
    for secret in secrets:
        for line in re.split("[\r\n]", secret):
            word = line.strip()
            if len(word) >= 4:
                assert word in known


def test_masks_are_escaped_and_each_line_has_one() -> None:
    values = ["100%25\u00e9 x", "one\r\n  two2 \nthree\n", "100%25\u00e9 x", "::stop-commands::x"]
    assert github_files.masks(values) == (
        "::add-mask::100%2525\u00e9 x\n::add-mask::two2\n::add-mask::three\n::add-mask::::stop-commands::x\n"
    )


def test_values_whose_masks_would_make_a_log_unreadable_have_none() -> None:
    assert github_files.masks(["", "1", "abc", "   ", "true", "False", "null", "{\n}"]) == ""
    assert github_files.masks(credentials.texts({"A": True, "B": None, "C": 5432, "D": {"x": 1}})) == (
        "::add-mask::5432\n"
    )


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("GITHUB_TOKEN", "is set by GitHub itself"),
        ("RUNNER_TEMP", "is set by GitHub itself"),
        ("NODE_OPTIONS", "is refused by GitHub"),
        ("LONG", "is too long"),
    ],
)
def test_what_a_step_cannot_set_is_refused_for_variables_and_not_for_outputs(name: str, fault: str) -> None:
    value = {"A": "x", name: "hunter2" * (20_000 if name == "LONG" else 1)}
    with pytest.raises(RefusedFormat) as caught:
        environment.render(value, "github", allow=[name])
    assert str(caught.value) == (
        f"the environment that the image printed sets {name} ({fault}), and the format github holds only variables of "
        "less than 128 KiB that a step may set: use the format yaml or json"
    )
    assert read_file(environment.render(value, "github-output")) == value


@pytest.mark.parametrize("name", ["PATH", "ACTIONS_ALLOW_UNSECURE_COMMANDS"])
def test_what_steers_later_steps_is_refused(name: str) -> None:
    with pytest.raises(SteeringVariable, match="github is made to be set in the later steps of a job"):
        environment.render({name: "x"}, "github")
    assert read_file(environment.render({name: "x"}, "github", allow=[name])) == {name: "x"}

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tweed_shim.base.semver import Version, compare, parse, parse_constraint
from tweed_shim.errors import BadVersion

ASCENDING = [
    "0.0.0-0", "0.0.0", "0.0.9", "0.0.10", "0.9.0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.2",
    "1.0.0-alpha.10", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-rc.1", "v1", "1.0.1", "1.1", "2", "10.0",
]  # fmt: skip


def _meets(constraint: str, version: str) -> bool:
    return parse_constraint(constraint).objections(parse(version)) is None


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1.2.3", "1.2.3"),
        ("v1.2.3", "1.2.3"),
        ("1", "1.0.0"),
        ("v1.2", "1.2.0"),
        ("01.002.0003", "1.2.3"),
        ("1.2-rc.1+build.007", "1.2.0-rc.1+build.007"),
        ("1.2.3-0a-b", "1.2.3-0a-b"),
        ("0.0.0", "0.0.0"),
        ("18446744073709551615.0.0", "18446744073709551615.0.0"),
    ],
)
def test_a_version_is_read_and_written_in_full(text: str, canonical: str) -> None:
    version = parse(text)
    assert (str(version), version.original) == (canonical, text)


@pytest.mark.parametrize(
    "text",
    ["", "v", "V1.2.3", "1.2.3.4", " 1.2.3", "1.2.3\n", "1..3", "1.2.3-", "1.2.3+", "1.2.3-a..b", "1.2.3-01",
     "-1.2.3", "1.x", "latest", "٣.1.0", "18446744073709551616.0.0", "9" * 5000],
)  # fmt: skip
def test_what_is_no_version_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadVersion, match="can be read"):
        parse(text)


def test_versions_have_the_order_of_the_specification() -> None:
    for at, smaller in enumerate(ASCENDING):
        assert compare(parse(smaller), parse(smaller)) == 0
        for larger in ASCENDING[at + 1 :]:
            assert (compare(parse(smaller), parse(larger)), compare(parse(larger), parse(smaller))) == (-1, 1)


def test_build_metadata_has_no_part_in_the_order() -> None:
    assert compare(parse("1.0.0+a"), parse("1.0.0+b")) == 0


@pytest.mark.parametrize(
    ("text", "major", "minor", "patch"),
    [
        ("1.2.3", "2.0.0", "1.3.0", "1.2.4"),
        ("v1.2.3-rc.1+x", "v2.0.0", "v1.3.0", "v1.2.3"),
        ("1.2.3+x", "2.0.0", "1.3.0", "1.2.4"),
        ("1", "2.0.0", "1.1.0", "1.0.1"),
    ],
)
def test_the_next_versions(text: str, major: str, minor: str, patch: str) -> None:
    version = parse(text)
    following = [version.next_major(), version.next_minor(), version.next_patch()]
    assert [each.original for each in following] == [major, minor, patch]


def test_prerelease_and_metadata_can_be_replaced_and_removed() -> None:
    version = parse("v1.2-a+b")
    assert version.with_prerelease("rc.2").original == "v1.2.0-rc.2+b"
    assert version.with_prerelease("").original == "v1.2.0+b"
    assert version.with_metadata("").original == "v1.2.0-a"
    for change in (version.with_prerelease, version.with_metadata):
        with pytest.raises(BadVersion):
            change("not/one")


@pytest.mark.parametrize(
    ("constraint", "meeting", "failing"),
    [
        ("1.2.3", ["1.2.3", "v1.2.3+x"], ["1.2.4", "1.2.3-rc"]),
        ("=1.2", ["1.2.0", "1.2.9"], ["1.3.0", "1.1.9", "2.2.0"]),
        ("1", ["1.0.0", "1.99.0"], ["0.9.0", "2.0.0"]),
        ("1.x", ["1.0.0", "1.5.5"], ["2.0.0"]),
        ("1.X.7", ["1.0.0", "1.5.5"], ["2.0.0"]),
        ("*", ["0.0.0", "7.8.9"], ["1.0.0-a"]),
        ("!=1.2.3", ["1.2.4"], ["1.2.3"]),
        ("!=1.2", ["1.3.0", "0.2.0"], ["1.2.0", "1.2.7"]),
        ("!=1.x", ["0.1.0", "2.0.0"], ["1.0.0", "1.7.0"]),
        ("!=1.2.x-a", ["1.2.3-b", "1.3.0-a", "1.2.0"], ["1.2.3-a"]),
        (">1.2.3", ["1.2.4", "2.0.0"], ["1.2.3", "1.2.2"]),
        (">1.2", ["1.3.0", "2.0.0"], ["1.2.9", "1.1.0"]),
        (">11", ["12.0.0"], ["11.1.0", "11.0.0", "10.0.0"]),
        ("<1.2.3", ["1.2.2"], ["1.2.3", "1.3.0"]),
        ("<1.2", ["1.1.9"], ["1.2.0"]),
        (">=1.2", ["1.2.0", "1.3.0"], ["1.1.9"]),
        ("=>1.2", ["1.2.0"], ["1.1.9"]),
        ("<=1.2.3", ["1.2.3", "1.0.0"], ["1.2.4"]),
        ("<=1.2", ["1.2.9", "1.2.0"], ["1.3.0", "2.0.0"]),
        ("=<2", ["2.9.9", "1.0.0"], ["3.0.0"]),
        ("~1.2.3", ["1.2.3", "1.2.9"], ["1.2.2", "1.3.0", "2.2.3"]),
        ("~>1.2", ["1.2.0", "1.2.9"], ["1.3.0"]),
        ("~1", ["1.0.0", "1.9.0"], ["2.0.0", "0.9.0"]),
        ("~0.0.0", ["0.0.0", "5.0.0"], ["1.0.0-a"]),
        ("^1.2.3", ["1.2.3", "1.9.0"], ["1.2.2", "2.0.0"]),
        ("^1", ["1.0.0", "1.9.0"], ["2.0.0"]),
        ("^0.2.3", ["0.2.3", "0.2.9"], ["0.3.0", "0.2.2", "1.2.3"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4", "0.0.2", "0.1.3"]),
        ("^0.0", ["0.0.0", "0.0.9"], ["0.1.0"]),
        ("^0", ["0.0.0", "0.9.0"], ["1.0.0"]),
        (">=1.2, <2", ["1.2.0", "1.9.0"], ["2.0.0", "1.1.0"]),
        (">=1.2 <2", ["1.2.0", "1.9.0"], ["2.0.0", "1.1.0"]),
        ("  >= 1.2 ,<2 ", ["1.2.0"], ["2.0.0"]),
        ("^1.2 || 3.x", ["1.9.0", "3.0.0"], ["2.0.0", "4.0.0"]),
        ("1.2 - 1.4.5", ["1.2.0", "1.4.5"], ["1.1.9", "1.4.6"]),
        ("1.2 - 1.4", ["1.2.0", "1.4.9"], ["1.5.0"]),
        (">=1.0.0-0", ["1.0.0-rc.1", "1.0.0", "2.0.0-a"], ["0.9.0"]),
        ("^1.0.0-beta", ["1.0.0-beta.2", "1.5.0-a", "1.5.0"], ["1.0.0-alpha", "2.0.0"]),
        (">1.0.0-0 <2 || 5", ["1.5.0-rc", "5.1.0"], ["5.1.0-rc"]),
        ("v1.2.3", ["1.2.3"], ["1.2.4"]),
    ],
)
def test_constraints(constraint: str, meeting: list[str], failing: list[str]) -> None:
    assert [version for version in meeting + failing if _meets(constraint, version)] == meeting


@pytest.mark.parametrize(
    "constraint",
    [
        "",
        " ",
        "a",
        "1.2.3.4",
        ">",
        "> > 1",
        "1.2,",
        ",1.2",
        "1.2 ||",
        "1xx",
        "1.2.3-01",
        "==1",
        "1  2  3  " * 30 + "!",
    ],
)
def test_what_is_no_constraint_is_refused_by_name(constraint: str) -> None:
    with pytest.raises(BadVersion, match="can be read"):
        parse_constraint(constraint)


@pytest.mark.parametrize(
    ("constraint", "version", "reasons"),
    [
        ("1.2.3", "v1.2.4", ["1.2.4 is not equal to 1.2.3"]),
        (
            ">= 2, < 3 || 1.0.x",
            "1.5.0",
            ["1.5.0 is less than 2", "1.5.0 does not have same major and minor version as 1.0.x"],
        ),
        (
            "1 || 2",
            "1.0.0-rc",
            ["1.0.0-rc is a prerelease version and the constraint is only looking for release versions"],
        ),
        ("~1.2", "2.0.0", ["2.0.0 does not have same major version as 1.2"]),
    ],
)  # fmt: skip
def test_an_unmet_constraint_tells_why(constraint: str, version: str, reasons: list[str]) -> None:
    assert parse_constraint(constraint).objections(parse(version)) == reasons


@given(st.text(alphabet="0123456789xX*v.-+|<>=~^!, ab", max_size=20))
def test_any_text_is_a_constraint_or_refused(text: str) -> None:
    try:
        constraint = parse_constraint(text)
    except BadVersion:
        return
    assert constraint.objections(Version(1, 2, 3)) != []

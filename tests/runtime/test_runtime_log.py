"""The last error in the log of a runtime."""

import json
from pathlib import Path

import pytest

from tweed_shim.runtime import runtime_log


def entry(level: str, message: str) -> str:
    return json.dumps({"level": level, "msg": message})


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ([entry("error", "first"), entry("fatal", "second"), entry("warning", "third")], "second"),
        ([entry("error", "the reason"), entry("error", "Failed to remove cgroup")], "the reason"),
        ([entry("error", "the reason"), "half a li"], "the reason"),
        ([entry("error", "the reason"), "[]"], "the reason"),
        ([], ""),
    ],
)
def test_the_last_error_that_is_not_of_the_clean_up_is_the_reason(
    tmp_path: Path, lines: list[str], error: str
) -> None:
    path = tmp_path / "runtime.log"
    path.write_text("\n".join(lines))
    assert runtime_log.last_error(str(path)) == error


def test_a_runtime_without_a_log_has_no_error(tmp_path: Path) -> None:
    assert runtime_log.last_error(str(tmp_path / "runtime.log")) == ""

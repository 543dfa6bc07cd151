"""docs/security.md: every promise names code that is there and a test that attacks it, and its recipe works."""

import json
import os
import re
import subprocess
import textwrap
from pathlib import Path

import pytest

from accounts import Account
from installed import PROJECT, fresh_shim
from script_images import METADATA, ScriptImage
from tweed_shim.runtime import seccomp_file

DOCUMENT = Path(PROJECT, "docs", "security.md").read_text(encoding="utf-8")
PACKAGE = Path(PROJECT, "shim", "tweed_shim")


def promises() -> list[list[str]]:
    """The rows of the tables below "What is promised": the promise, how it is kept, what attacks it."""
    section = DOCUMENT.split("## What is promised")[1].split("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return [row for row in rows if row[0].strip() != "promise" and not row[0].startswith("---")]


@pytest.mark.parametrize("row", promises(), ids=lambda row: row[0][:60])
def test_a_promise_names_the_code_that_keeps_it_and_what_attacks_it(row: list[str]) -> None:
    _, kept, attacked = row
    code = re.findall(r"`([\w/]+\.py)`(?:: ((?:`[\w.]+`(?:, )?)+))?", kept)
    assert code, "no file is named"
    for path, names in code:
        text = (PACKAGE / path).read_text(encoding="utf-8")
        for name in re.findall(r"`(?:\w+\.)?(\w+)`", names):
            assert re.search(rf"^ *(def|class) {name}\b|^{name}\b.* = ", text, re.MULTILINE), (path, name)
    tests = re.findall(r"`(tests/[\w/]+\.py)`", attacked)
    assert tests, "no test is named"
    assert [path for path in tests if not Path(PROJECT, path).exists()] == []


def test_the_recipe_for_one_more_system_call_works(
    accounts: dict[str, Account], program: str, script_image: ScriptImage
) -> None:
    [block] = re.findall(r"(?:^    .*\n)+", DOCUMENT.split("## System calls")[1], re.MULTILINE)[:1]
    recipe = textwrap.dedent(block)
    assert "--seccomp profile.json" in recipe
    image = script_image(f"case $1 in metadata) {METADATA};; check) echo checked;; esac")
    with fresh_shim(accounts["root"], program) as shim:
        assert shim.run("exec", image, "configure", stdin=b"{}").code == 0
        at = os.path.dirname(shim.root)
        environment = shim.environment() | {"TWEED_SHIM_ROOT": shim.root}
        environment["PATH"] = f"{os.path.dirname(program)}:{environment['PATH']}"
        done = subprocess.run(
            ["sh", "-euc", recipe.replace("IMAGE", image)],
            cwd=at,
            env=environment,
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, b"checked\n"), done
        profile = seccomp_file.read(os.path.join(at, "profile.json"))
    answers = [rule["action"] for rule in profile["syscalls"] if "io_uring_setup" in rule["names"]]
    assert answers == ["SCMP_ACT_ALLOW"], json.dumps(answers)

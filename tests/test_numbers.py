"""Numbers of users and strangers are of ASCII digits, and of any length: others are refused, and nothing breaks."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaml import evaluate, fault
from tweed_shim import idmap
from tweed_shim.cli.commands import parse_with
from tweed_shim.cli.parser import ArgparseParser
from tweed_shim.errors import UsageError
from tweed_shim.image import config
from tweed_shim.image.global_headers import _extended_size
from tweed_shim.letters import decimal
from tweed_shim.runtime import log_sweep, runs
from tweed_shim.tweed import drafts

WIDE, ARABIC, SUPERSCRIPT = "\N{FULLWIDTH DIGIT ONE}", "\N{ARABIC-INDIC DIGIT ONE}", "\N{SUPERSCRIPT TWO}"
# More digits than int() takes.
LONG = "1" * 5000
STRANGE = (WIDE, ARABIC, SUPERSCRIPT, LONG)
RUN = ("exec", "image", "check")
OPTIONS = [
    *((RUN, option) for option in ("--timeout", "--cpus", "--pids", "--pull-timeout")),
    (("gc",), "--keep-last"),
    (("pull", "image"), "--timeout"),
]
SIZES = [((*RUN, "--memory"),), (("gc", "--keep-logs"),), (("exec", "image", "setup", "--keep-limit"),)]


@given(st.integers(0, (1 << 64) - 1) | st.integers(0), st.integers(0, 40))
def test_ascii_digits_are_a_number_of_64_bits(number: int, zeros: int) -> None:
    assert decimal("0" * zeros + str(number)) == (number if number < 1 << 64 else None)


@given(st.text(alphabet=st.characters(categories=["Nd", "No", "Nl"]) | st.sampled_from("+-_. 1e")))
def test_no_other_text_is_a_number(text: str) -> None:
    is_plain = text.isascii() and text.isdigit() and int(text) < 1 << 64
    assert (decimal(text) is not None) is is_plain


@pytest.mark.parametrize(("command", "option"), OPTIONS, ids=lambda value: str(value))
@pytest.mark.parametrize("text", [WIDE, ARABIC, SUPERSCRIPT, "1_0", " 1", "1 ", f"1{WIDE}", LONG])
def test_an_option_that_is_a_number_takes_ascii_digits(
    command: tuple[str, ...], option: str, text: str
) -> None:
    with pytest.raises(UsageError, match=f"argument {option}: .*; use one such as"):
        parse_with(ArgparseParser, [*command, f"{option}={text}"])
    parse_with(ArgparseParser, [*command, f"{option}=1"])


@pytest.mark.parametrize("words", [words for (words,) in SIZES], ids=lambda words: words[-1])
@pytest.mark.parametrize("text", STRANGE)
def test_an_option_that_is_a_size_takes_ascii_digits(words: tuple[str, ...], text: str) -> None:
    *command, option = words
    with pytest.raises(UsageError, match=f"argument {option}: .* is no size; "):
        parse_with(ArgparseParser, [*command, f"{option}={text}m"])


@pytest.mark.parametrize("text", STRANGE)
def test_commands_refuse_in_one_sentence(program: str, tmp_path: Path, text: str) -> None:
    (tmp_path / "template.yaml").write_text("a: (( valueof ))\n")
    environ = {"PATH": os.environ["PATH"], "HOME": os.fspath(tmp_path), "COLUMNS": text, "LANG": "C.UTF-8"}

    def call(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *command], capture_output=True, text=True, env=environ, cwd=tmp_path, check=False
        )

    log = call("--root", os.fspath(tmp_path / "store"), "logs", text)
    assert (log.returncode, log.stderr.count("\n")) == (125, 1), log
    assert "there is no run" in log.stderr
    assert len(log.stderr) < 200
    assert call("gc", "--help").returncode == 0
    merged = call("spiff", "merge", "--json", "template.yaml", f"-Dvalueof={text}")
    assert merged.returncode == 0, merged
    # What is no number is a text.
    assert json.loads(merged.stdout) == {"a": text}


@pytest.mark.parametrize("text", STRANGE)
def test_what_images_and_the_host_say_is_read_alike(text: str, tmp_path: Path) -> None:
    for signal in (text, f"RTMIN+{text}", f"RTMAX-{text}"):
        assert config.stop_signal(signal) is None
    body = text.encode()
    assert _extended_size(body + b" size=1\n", 7) == 7
    record = b" size=" + body + b"\n"
    length = len(record) + len(str(len(record))) + 1
    assert _extended_size(str(length).encode() + record, 7) == 7
    (tmp_path / "subuid").write_text(f"one:{text}:5\ntwo:5:{text}\nthree:7:65536\n")
    assert idmap.grants(os.fspath(tmp_path / "subuid")) == [("three", 7, 65536)]


@pytest.mark.parametrize("name", [WIDE, SUPERSCRIPT, "1" * 200])
def test_strange_names_in_the_store_are_passed_over(name: str, tmp_path: Path) -> None:
    (tmp_path / "runs" / name).mkdir(parents=True)
    (tmp_path / "runs" / "3").mkdir()
    place = os.fspath(tmp_path / "runs")
    assert list(log_sweep.logs(place)) == []
    assert runs._numbers(place) == [3]
    assert drafts._highest(place) == 3


@pytest.mark.parametrize("digits", [WIDE, SUPERSCRIPT])
def test_formats_of_templates_know_ascii_digits_only(digits: str) -> None:
    assert evaluate(f'format("%{digits}d", 5)').startswith("%!")
    assert "invalid validFrom field" in fault(
        f'x509cert({{"usage"=["signature"], "validFrom"="Jan {digits} 15:04:05 2006", "privateKey"=x509genkey()}})'
    )


def test_the_longest_width_is_bounded() -> None:
    assert len(evaluate(f'format("%{LONG}d", 5)')) == 10_000

"""Command lines that are refused before anything is done: one sentence, which names the option or the file."""

from pathlib import Path

import pytest

from tweed_shim.cli.main import main


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OCM_CONFIG", "None")
    (tmp_path / "latin1").write_bytes(b"name: \xe9\n")
    (tmp_path / "large").write_bytes(b"#" * ((4 << 20) + 1))
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "profile").write_bytes(b" " * ((1 << 20) + 1))
    (tmp_path / "names").write_text(
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [1], "action": "SCMP_ACT_ALLOW"}]}'
    )


EXEC = ("exec", "oci:none", "check")
BOOTSTRAP = ("toi", "bootstrap", "install", "./none//example.com/x:1")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((*EXEC, "--replace"), 2, "--replace does not go with check"),
        ((*EXEC, "--config", "x"), 2, "--config does not go with check"),
        (
            (*EXEC, "--format", "json"),
            2,
            "--format does not go with check; it goes with metadata, setup and bind",
        ),
        ((*EXEC, "--interaction", "x"), 2, "--interaction does not go with check"),
        ((*EXEC, "--cpus", "many"), 2, "'many' is no positive number"),
        ((*EXEC, "--cpus", "0"), 2, "'0' is no positive number up to 1e+08"),
        ((*EXEC, "--timeout", "nan"), 2, "'nan' is no positive number up to 1e+09"),
        ((*EXEC, "--timeout", "0"), 2, "'0' is no positive number up to 1e+09"),
        ((*EXEC, "--pids", "1.5"), 2, "'1.5' is no whole number from 1 to 4194304"),
        ((*EXEC, "--memory", "0"), 2, "'0' is no size"),
        ((*EXEC, "--cap-add", "X Y"), 2, "--cap-add"),
        (("clouds", "rm"), 2, "'clouds rm' needs the name of a cloud; 'tweed-shim clouds' lists them"),
        ((*BOOTSTRAP, "-p", "-", "-c", "-"), 2, "stdin can be used only once"),
        ((*BOOTSTRAP, "-p", "none"), 125, "the parameters in none cannot be read (No such file"),
        ((*BOOTSTRAP, "-c", "latin1"), 125, "the credentials in latin1 are not text in UTF-8"),
        ((*BOOTSTRAP, "-p", "large"), 125, "large is larger than 4 MiB, which is the most that is read"),
        (
            ("toi", "config", "./none//example.com/x:1", "-p", "-"),
            2,
            "the files cannot be written to stdout, where their paths are printed: name a file",
        ),
        (
            ("spiff", "merge", "list.yaml", "--evaluate", "1"),
            125,
            "an expression (--evaluate) needs a result that is a map; choose one with --path",
        ),
        (
            ("spiff", "merge", "list.yaml", "--path", "x"),
            125,
            "the result has nothing at 'x'; see what it has without --path and --select",
        ),
        (("spiff", "merge", "latin1"), 125, "latin1 is not text in UTF-8"),
    ],
)
def test_an_invalid_command_line_is_refused_in_one_sentence(
    words: tuple[str, ...], code: int, message: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["--root", str(tmp_path / "store"), *words]) == code
    shown = capfd.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert message in shown.err
    assert not (tmp_path / "store").exists()


def test_an_expression_over_an_empty_document_is_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["spiff", "merge", "empty.yaml", "--evaluate", "1"]) == 0
    assert capfd.readouterr().out == "---\n"


@pytest.mark.parametrize(
    ("profile", "message"),
    [("profile", "is larger than 1 MiB; give a smaller one"), ("names", "is no list of names")],
)
def test_a_profile_of_system_calls_that_cannot_be_used(
    profile: str, message: str, capfd: pytest.CaptureFixture[str], demo_image: str, tmp_path: Path
) -> None:
    words = ["spec", f"oci:{demo_image}", "metadata", "--seccomp", profile]
    assert main(["--root", str(tmp_path / "store"), "-q", *words]) == 125
    shown = capfd.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert message in shown.err


def test_a_tool_that_is_not_installed_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--runtime", "no-such-runtime", "version"]) == 0
    [line] = [each for each in capfd.readouterr().out.splitlines() if each.startswith("no-such-runtime")]
    assert line.split(maxsplit=1)[1] == "not installed"

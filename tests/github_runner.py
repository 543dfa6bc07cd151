"""What GitHub's runner makes of a step: how it reads its files and the commands in its log.

As in github.com/actions/runner: SetEnvFileCommand of FileCommandManager.cs, ActionCommand.cs.
"""


def read_file(text: str) -> dict[str, str]:
    """The variables or outputs in a file that $GITHUB_ENV or $GITHUB_OUTPUT names. Only LF ends a line."""
    lines, found = iter(text.split("\n")), {}
    for line in lines:
        if not line:
            continue
        name, arrows, delimiter = line.partition("<<")
        if "=" in name or not arrows:
            name, equals, value = line.partition("=")
            assert equals, f"Invalid format '{line}'"
            found[name] = value
            continue
        assert name
        assert delimiter
        value_lines = []
        while (value_line := next(lines)) != delimiter:
            value_lines.append(value_line)
        found[name] = "\n".join(value_lines)
    return found


def masked(log: str) -> set[str]:
    """The values of the add-mask commands in a log."""
    found = set()
    for line in log.split("\n"):
        if line.lstrip().startswith("::add-mask::"):
            data = line.lstrip().removeprefix("::add-mask::")
            for escape, character in (("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
                data = data.replace(escape, character)
            assert data.strip(), "Can't add secret mask for empty string"
            found.add(data)
    return found

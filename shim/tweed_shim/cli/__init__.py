"""The command line: parse, call, print. One module a group of commands, imported when one of them is called."""

"""`python -m tweed_shim` is the command line."""

from tweed_shim.cli.main import program

if __name__ == "__main__":
    program()

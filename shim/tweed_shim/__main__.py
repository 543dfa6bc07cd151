"""`python -m tweed_shim` is the command line."""

import sys

from tweed_shim.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

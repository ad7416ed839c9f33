"""The program ``mudrock``, and ``python -m mudrock_cli``."""

import os
import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is loaded is no traceback either."""
    try:
        from mudrock_cli.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("mudrock: interrupted\n")
        sys.stderr.flush()
        os._exit(130)  # Python, which saw the exception in passing, would kill itself by SIGINT
    run()


if __name__ == "__main__":
    main()

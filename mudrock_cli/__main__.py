"""The program ``mudrock``, and ``python -m mudrock_cli``."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C before it is loaded is no traceback either."""
    try:
        from mudrock_cli.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("mudrock: interrupted\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()

"""Makes ``python -m mudrock_cli`` the same as ``mudrock``."""

from mudrock_cli.cli import main

main()

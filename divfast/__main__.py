"""``python -m divfast``: the command line."""

from divfast.cli import main

main()

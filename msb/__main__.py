"""`python -m msb`."""

from msb.cli import main

main()

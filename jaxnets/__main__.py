"""python -m jaxnets: the command line."""

from jaxnets.cli import main

main()

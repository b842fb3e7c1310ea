"""The command line, python -m jaxnets and jaxnets: nothing is imported before Ctrl-C is taken care of."""

from jaxnets import ctrl_c


def main() -> None:
    """Runs the command that the arguments name; see `jaxnets.commands`."""
    ctrl_c.end_at_once()
    from jaxnets.commands import main

    main()

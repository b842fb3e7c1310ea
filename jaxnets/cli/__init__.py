"""The command line, python -m jaxnets and jaxnets: nothing is imported before Ctrl-C is handled."""

from jaxnets.cli import ctrl_c


def main() -> None:
    """Runs the command that the arguments name; see `jaxnets.cli.commands`."""
    ctrl_c.end_at_once()
    from jaxnets.cli.commands import main

    main()

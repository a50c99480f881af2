"""The command line: every command, registered without importing what it needs.

`cerberus --help` must stay cheap, so the modules of commands import the rest when one runs.
"""

import typer

from cerberus_trader import __version__
from cerberus_trader.control import (
    commands_backup,
    commands_live,
    commands_replay,
    commands_sim,
    commands_stop,
    commands_tools,
    commands_venue,
)
from cerberus_trader.control.listing import Commands

app = typer.Typer(
    name="cerberus",
    cls=Commands,
    help="A guarded trading engine: many heads signal, one body judges, nothing is lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"cerberus {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Paper is the default everywhere; real money is refused."""


commands_replay.register(app)
commands_live.register(app)
commands_stop.register(app)
commands_tools.register(app)
commands_backup.register()
commands_sim.register(app)
commands_venue.register(app)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()

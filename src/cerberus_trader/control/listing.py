"""How `--help` lists commands."""

from typing import Any

from typer.core import TyperGroup

LETTERS_MAX = 500


class Commands(TyperGroup):
    """List commands with their whole first sentence: cut short it says too little."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list, each sentence over as many lines as it takes."""
        rows = [
            (name, command.get_short_help_str(LETTERS_MAX))
            for name, command in self.commands.items()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

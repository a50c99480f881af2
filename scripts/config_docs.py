"""Write docs/configuration.md and .env.example from the settings.

python scripts/config_docs.py [--check]
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import msgspec

from cerberus_trader.config_schema import Field, fields, to_plain
from cerberus_trader.domain.settings import Settings

ROOT = Path(__file__).resolve().parent.parent

HEAD = """# Configuration

Written by `make docs` from `src/cerberus_trader/domain/settings*.py`; do not edit.

Values come from four layers, the later one wins: the defaults below, the stage's profile
(`stage`: dev, test, prod, research), a TOML or JSON file (`--config FILE`, else
`config/config.toml`, else `config/config.json`), and the environment
(`CERBERUS_RISK__POSITIONS_MAX=5` sets `risk.positions_max`; a list is written `a,b`; names of
table entries are in lower case there). Every fault is reported at once, with the key, the value
given and what is allowed. `cerberus config check FILE` checks a file, `cerberus config show`
prints what is in force.

While `cerberus run` is running, a changed file is read once it has not changed for a tenth of a
second, validated and taken over whole; a faulty one changes nothing and is reported. A key marked
*restart* refuses to change while running.

`<name>` stands for the name of an entry. A table of entries keeps its default entries only while
nobody names one; an entry `"*"` gives values to all of them. The default entries are
`strategies.default` with `sources = ["*"]`, which takes the signals of any source, and the venue
`paper`. **Naming a strategy drops `strategies.default`**: signals of other sources are denied then,
closes too. Give one of yours `sources = ["*"]`, or name `default` as well. Decimals may be written
as numbers or as text; both are read exactly. Fractions are of 1 (0.04 is 4 %).
"""

ENV_HEAD = """# Every setting as an environment variable, each with its default.
# Cerberus does not read this file by itself: copy the lines that you change into .env, and export
# them with  set -a; . ./.env; set +a
# Never export all of it: an exported default also overrides the stage's profile and the file.
# Keys and secrets never stand here or in any configuration, only their names.
"""


def section(key: str) -> str:
    """Return the first part of a dotted key; a key of its own stands under general."""
    return key.split(".")[0] if "." in key else "general"


def default_text(field: Field) -> str:
    """Write a default as it would stand in a file."""
    if field.default is msgspec.NODEFAULT:
        return "required"
    return msgspec.json.encode(to_plain(field.default)).decode().strip('"')


def grouped(cls: type[msgspec.Struct]) -> Iterator[tuple[str, list[Field]]]:
    """Yield the fields by section, those of no section first."""
    ordered = sorted(fields(cls), key=lambda field: "." in field.key)
    for name, items in groupby(ordered, key=lambda field: section(field.key)):
        yield name, list(items)


def page(cls: type[msgspec.Struct] = Settings) -> str:
    """Write the page: one table per section."""
    lines = [HEAD]
    for name, items in grouped(cls):
        lines += [f"## {name}", "", "| key | type | default | allowed | meaning |"]
        lines += ["|---|---|---|---|---|"]
        for item in items:
            meaning = f"{item.meaning} *(restart)*".strip() if item.cold else item.meaning
            default = f"`{default_text(item)}`" if default_text(item) else "(empty)"
            cells = (f"`{item.key}`", item.kind, default, item.allowed, meaning)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def env_example(cls: type[msgspec.Struct] = Settings) -> str:
    """Write the template of environment variables; tables with their default entries."""
    lines = [ENV_HEAD]
    default = cls()
    for name, items in grouped(cls):
        lines.append(f"# {name}")
        for item in items:
            key, value = item.key, default_text(item)
            if ".<name>." in key:
                table, _, field = key.partition(".<name>.")
                entry, held = next(iter(getattr(default, table).items()))
                key, item = f"{table}.{entry}.{field}", item._replace(default=getattr(held, field))
                value = default_text(item)
            if item.kind == "list":
                value = ",".join(map(str, to_plain(item.default)))
            lines.append(f"# CERBERUS_{key.replace('.', '__').upper()}={value}")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def main(argv: list[str] | None = None) -> int:
    """Write both files; with --check only tell whether they are current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if a file is not current")
    options = parser.parse_args(argv)
    stale = []
    wanted = {"docs/configuration.md": page(), ".env.example": env_example()}
    for name, text in wanted.items():
        path = ROOT / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not options.check:
                path.write_text(text, encoding="utf-8")
    if stale:
        print(("not current: " if options.check else "written: ") + ", ".join(stale))
    return int(options.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())

"""Load instruments: the built-in ones, and files of the user in the same TOML or JSON format.

A file holds `[instruments.NAME]` tables with the fields of `Instrument`, and optionally
`[common]` with values for all of them. `tiers` is a list of
[floor, cap, rate, leverage_max, cum]. The name is the venue's own symbol (DOGEUSDT on Binance,
kPEPE on Hyperliquid); `venue` tells the venues apart. A user's file may replace a built-in
instrument; two files of the user may not name the same one.
"""

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from cerberus_trader.config import merge, parse_text, read_file
from cerberus_trader.config_faults import Layer, Tree, fault_line
from cerberus_trader.domain.errors import ConfigError, DataError
from cerberus_trader.domain.instrument import Instrument, Tier

BUILT_IN = ("binance_usdm", "hyperliquid", "spot")
TIER_FIELDS = Tier.__struct_fields__


class InstrumentFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hold what one file defines, its common values already given to each instrument."""

    instruments: dict[str, Instrument] = {}


def load_instruments(paths: Iterable[Path] = ()) -> dict[str, Instrument]:
    """Return the built-in instruments and those of the files, by name.

    Raises `ConfigError` with the faults of all files at once, each with file and key.
    """
    found = built_in()
    origins: dict[str, Path] = {}
    faults: list[str] = []
    for path in paths:
        try:
            loaded = read_instruments(read_file(path), place=str(path))
        except ConfigError as error:
            faults += [f"{path}: {fault}" for fault in error.faults]
            continue
        for name, instrument in loaded.items():
            if name in origins:
                faults.append(f"{path}: instruments.{name}: stands in {origins[name]} too")
            origins[name] = path
            found[name] = instrument
    if faults:
        raise ConfigError(faults, place="instruments")
    return found


def built_in() -> dict[str, Instrument]:
    """Return the instruments that come with the package."""
    folder = resources.files("cerberus_trader") / "presets" / "instruments"
    found: dict[str, Instrument] = {}
    for name in BUILT_IN:
        text = (folder / f"{name}.toml").read_text(encoding="utf-8")
        found.update(read_instruments(parse_text(text, ".toml", place=name), place=name))
    return found


def read_instruments(tree: Tree, *, place: str) -> dict[str, Instrument]:
    """Validate one file's tables and build its instruments; every fault at once."""
    from pydantic import ValidationError

    from cerberus_trader.config_models import model, to_struct

    full, faults = _filled(tree)
    layers = [Layer(place, full)]
    found: dict[str, Instrument] = {}
    try:
        valid: Any = model(InstrumentFile).model_validate(full)
    except ValidationError as error:
        faults += [
            fault_line(InstrumentFile, item["type"], item["loc"], item.get("input"), layers)
            for item in error.errors(include_url=False, include_context=False)
        ]
        raise ConfigError(list(dict.fromkeys(faults)), place=place) from None
    for name, item in valid.instruments.items():
        try:
            found[name] = to_struct(Instrument, item)
        except DataError as error:
            faults.append(f"instruments.{name}: {error.message} {error.fix}".rstrip())
    faults += [fault for instrument in found.values() for fault in _senseless(instrument)]
    if faults:
        raise ConfigError(faults, place=place)
    return found


def _filled(tree: Tree) -> tuple[Tree, list[str]]:
    """Give each instrument its name and the common values, and name the parts of its tiers."""
    common = tree.get("common", {})
    tables = tree.get("instruments", {})
    if not isinstance(common, Mapping) or not isinstance(tables, Mapping):
        return tree, []
    faults: list[str] = []
    full: Tree = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            full[name] = table
            continue
        full[name] = merge(merge(dict(common), table), {"name": name})
        if isinstance(full[name].get("tiers"), list):
            full[name]["tiers"] = _tiers(full[name]["tiers"], f"instruments.{name}", faults)
    rest = {key: value for key, value in tree.items() if key != "common"}
    return {**rest, "instruments": full}, faults


def _tiers(rows: list[Any], key: str, faults: list[str]) -> list[Tree]:
    """Turn rows of five numbers into tables, and note the rows that are not."""
    tables = []
    for position, row in enumerate(rows):
        if isinstance(row, list) and len(row) == len(TIER_FIELDS):
            tables.append(dict(zip(TIER_FIELDS, row, strict=True)))
        elif isinstance(row, dict):
            tables.append(row)
        else:
            faults.append(f"{key}.tiers[{position}]: must be [{', '.join(TIER_FIELDS)}]")
    return tables


def _senseless(instrument: Instrument) -> list[str]:
    """Find values that no venue has."""
    key = f"instruments.{instrument.name}"
    faults = []
    for name in ("maker_fee", "taker_fee"):
        fee = getattr(instrument, name)
        if abs(fee) >= 1:
            faults.append(f"{key}.{name} = {fee}: must be a fraction, 0.0005 is 0.05 %")
    for name in ("quantity_min", "notional_min", "significant_figures"):
        if getattr(instrument, name) < 0:
            faults.append(f"{key}.{name}: must be at least 0")
    if instrument.kind == "spot" and instrument.tiers:
        faults.append(f"{key}.tiers: must be empty for spot")
    if instrument.funding_interval_hours < 1:
        faults.append(f"{key}.funding_interval_hours: must be at least 1")
    return faults

"""What a replay runs on: price files with their companions, instruments, settings, signals."""

import re
from dataclasses import dataclass
from pathlib import Path

from cerberus_trader.config import Loaded, load_settings
from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.settings import Settings
from cerberus_trader.market.volatility import MinuteSeries, SigmaSeries
from cerberus_trader.replay.driver import Signals
from cerberus_trader.replay.price_files import load_funding, load_marks, load_prices
from cerberus_trader.replay.tape import Prices, Tape


@dataclass(frozen=True)
class ReplayRequest:
    """Say what to replay; `marks` and `funding` are NAME=FILE, or FILE beside a single price file.

    `instruments` names one instrument per price file, in order; without it the files' names do.
    """

    prices: tuple[Path, ...]
    signals: Path | None = None
    head: str | None = None
    instruments: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    funding: tuple[str, ...] = ()
    config: Path | None = None
    profile: str | None = None
    out: Path | None = None
    reference: bool = False
    close_at_end: bool = False
    check_lookahead: bool = False


class Sigmas:
    """Tell an instrument's volatility, computed when it is first asked for."""

    def __init__(self, prices: Prices) -> None:
        self.prices = prices
        self.wide: SigmaSeries | None = None
        self.minute = MinuteSeries(prices)

    def at(self, t: int) -> tuple[float, float]:
        """Return (estimate, one-minute) as daily fractions known at t; -1 is unknown."""
        if self.wide is None:
            self.wide = SigmaSeries(self.prices)
        return self.wide.at(t), self.minute.at(t)


def load_tapes(
    request: ReplayRequest, loaded: Loaded[Settings], known: dict[str, Instrument]
) -> list[Tape]:
    """Load every price file with its companions; raise `DataError` for the first fault."""
    if not request.prices:
        raise DataError("there are no prices.", place="--prices", fix="give a price file.")
    names = instrument_names(request, known)
    marks = companions(request.marks, names, "--marks")
    funding = companions(request.funding, names, "--funding")
    tapes = []
    for path, name in zip(request.prices, names, strict=True):
        prices = load_prices(path)
        interval = getattr(prices, "interval_ns", None)
        tapes.append(
            Tape(
                known[name],
                prices,
                load_marks(marks[name], interval_ns=interval) if name in marks else None,
                load_funding(funding[name]) if name in funding else None,
            )
        )
    return tapes


def instrument_names(request: ReplayRequest, known: dict[str, Instrument]) -> list[str]:
    """Name the instrument of each price file: as asked, else as its file's name says."""
    given = request.instruments
    if given and len(given) != len(request.prices):
        raise DataError(
            f"{len(request.prices)} price file(s) but {len(given)} instrument(s).",
            place="--instrument",
            fix="give --instrument once per --prices, in the same order.",
        )
    names = list(given) if given else [named_by(path, known) for path in request.prices]
    for name in names:
        if name not in known:
            raise unknown_instrument(name, "--instrument", known)
    for index, name in enumerate(names):
        if name in names[:index]:
            raise DataError(
                f"two price files are {name}.",
                code="INSTRUMENT_TWICE",
                place=str(request.prices[index]),
                fix="give one file per instrument.",
            )
    return names


def named_by(path: Path, known: dict[str, Instrument]) -> str:
    """Return the instrument that a file's name holds: a whole word of it, else the longest part."""
    words = re.split(r"[^A-Za-z0-9]+", path.name)
    for word in words:
        if word in known:
            return word
    parts = [name for name in known if name in path.name]
    if not parts:
        error = unknown_instrument(path.name, str(path), known)
        if not path.exists():
            error.message += " There is no such file either."
        raise error
    return max(parts, key=len)


def unknown_instrument(name: str, place: str, known: dict[str, Instrument]) -> DataError:
    """Make the error that names all known instruments."""
    return DataError(
        f"{name!r} names no known instrument.",
        code="INSTRUMENT_UNKNOWN",
        place=place,
        fix=f"give --instrument with one of {', '.join(sorted(known))}, or list a file of your"
        " own under `instruments` in the configuration.",
    )


def companions(given: tuple[str, ...], names: list[str], option: str) -> dict[str, Path]:
    """Read NAME=FILE options; a bare FILE belongs to the only instrument."""
    found: dict[str, Path] = {}
    for text in given:
        name, sign, file = text.partition("=")
        if not sign or name not in names:
            if len(names) > 1 or (sign and not Path(text).exists()):
                raise DataError(
                    f"{text!r} names no instrument of this replay.",
                    place=option,
                    fix=f"write NAME=FILE with a name of {', '.join(names)}.",
                )
            name, file = names[0], text
        if name in found:
            raise DataError(f"{name} stands twice.", place=option, fix="give one file each.")
        found[name] = Path(file)
    return found


def settings_of(request: ReplayRequest) -> Loaded[Settings]:
    """Load the configuration in layers, as everywhere."""
    return load_settings(request.config, stage=request.profile)


def signals_of(
    request: ReplayRequest, loaded: Loaded[Settings], tapes: list[Tape]
) -> tuple[list[Signals], list[DataError]]:
    """Return the sources of signals (a file, or heads), and the lines refused.

    A file of which not one line could be read is no source.

    Without either option the heads that the configuration's strategies name are run.
    """
    if request.signals is not None and request.head is not None:
        raise DataError(
            "signals come from a file or from a head.", place="--head", fix="give one of both."
        )
    if request.signals is not None:
        from cerberus_trader.heads.lines import read_signals
        from cerberus_trader.replay.heads import ListSignals

        limit = loaded.settings.intake.line_bytes_max
        signals, refusals = read_signals(request.signals, line_bytes_max=limit)
        return [ListSignals(signals)] if signals else [], refusals
    return head_signals(request.head, loaded.settings, tapes), []


def head_signals(head: str | None, settings: Settings, tapes: list[Tape]) -> list[Signals]:
    """Return runs of one head, or of every head that a strategy names.

    A strategy that names the head lends it name, parameters and instruments; a head that no
    strategy names runs under its own name with its defaults.
    """
    from cerberus_trader.heads.base.registry import find_head
    from cerberus_trader.replay.heads import heads_on

    found: list[Signals] = []
    for name, strategy in settings.strategies.items():
        if strategy.head == head or (head is None and strategy.head != "file"):
            own = [tape for tape in tapes if tape.name in strategy.instruments]
            chosen = own if strategy.instruments else tapes
            found += heads_on(find_head(strategy.head), strategy.params, name, chosen)
    if not found and head is not None:
        spec = find_head(head)
        found += heads_on(spec, {}, spec.name, tapes)
    if not found:
        raise DataError(
            "there are no signals.", place="--signals",
            fix="give --signals FILE or --head NAME, or name heads in the configuration.",
        )  # fmt: skip
    return found

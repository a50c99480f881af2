"""Read whole files of signal lines: what is broken is refused and reported, the rest runs."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.signal import Signal
from cerberus_trader.heads.lines.parse import LINE_BYTES_MAX, parse_signal, refuse

REFUSALS_MAX = 1_000


def read_signals(
    path: str | Path, *, line_bytes_max: int = LINE_BYTES_MAX
) -> tuple[list[Signal], list[DataError]]:
    """Read a .jsonl or .jsonl.gz file: the signals in order of time (stable), and the refusals.

    At most 1,000 refusals are kept; one more says how many were left out. A file that is
    missing, unreadable, empty or cut short raises `DataError`, and nothing of it is used.
    """
    signals: list[Signal] = []
    refusals: list[DataError] = []
    lines = refused = 0
    for number, line in _lines(Path(path), line_bytes_max):
        lines += 1
        try:
            signals.append(
                parse_signal(line, place=f"{path}:{number}", line_bytes_max=line_bytes_max)
            )
        except DataError as error:
            refused += 1
            if refused <= REFUSALS_MAX:
                refusals.append(error)
    if not lines:
        refuse(str(path), "the file holds no line.", "give at least one signal.")
    if refused > REFUSALS_MAX:
        more = f"{refused - REFUSALS_MAX} more lines were refused."
        refusals.append(DataError(more, code="SIGNAL_REFUSED", place=str(path)))
    signals.sort(key=lambda signal: signal.ts_ns)
    return signals, refusals


def _lines(path: Path, line_bytes_max: int) -> Iterator[tuple[int, bytes]]:
    """Give the lines that are not blank with their numbers; of a long one only its beginning."""
    try:
        with _open(path) as stream:
            number = 0
            # two more than allowed: a line break, and one byte that shows the line too long
            while line := stream.readline(line_bytes_max + 2):
                number += 1
                rest = line
                while len(rest) == line_bytes_max + 2 and not rest.endswith(b"\n"):
                    rest = stream.readline(line_bytes_max + 2)
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                line = line.rstrip(b"\r\n")
                if line.strip():
                    yield number, line
    except FileNotFoundError:
        refuse(str(path), "there is no such file.", "check the path.")
    except (EOFError, gzip.BadGzipFile, zlib.error):
        refuse(str(path), "the file is damaged or cut short.", "fetch or write it again.")
    except OSError as error:
        refuse(str(path), f"the file cannot be read ({error.strerror}).", "check it.")


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")

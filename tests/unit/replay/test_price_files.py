"""Price files load exactly in every format, and bad ones are refused by file, row and column."""

import gzip
import random
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.market.columns import (
    Bars,
    Funding,
    MarkBars,
    MarkPoints,
    Quotes,
    Trades,
    to_decimal,
)
from cerberus_trader.replay import price_files
from cerberus_trader.replay.file_tables import BLOCK_BYTES
from cerberus_trader.replay.mapped import load_arrays
from cerberus_trader.replay.price_files import load_funding, load_marks, load_prices, save_npz

BARS = (
    "ts_ms,open,high,low,close,volume\n"
    "60000,1.10,1.2,1,1.15,12.0\n"
    "120000,1.15,1.15,1.15,1.15,0\n"
    "240000,1.15,1.3,1.1,1.21,7.5\n"
)


def write(folder: Path, text: str | bytes, name: str = "p.csv") -> Path:
    path = folder / name
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    return path


@pytest.mark.req("E-8.2.3")
def test_bars_keep_the_files_precision(tmp_path: Path) -> None:
    bars = load_prices(write(tmp_path, BARS))
    assert isinstance(bars, Bars)
    assert bars.open.tolist() == [110, 115, 115]
    assert (bars.digits, bars.volume_digits, bars.interval_ns) == (2, 1, 60 * 10**9)
    assert bars.volume.tolist() == [120, 0, 75]
    assert bars.ts_open.tolist() == [60 * 10**9, 120 * 10**9, 240 * 10**9]
    assert bars.gaps.tolist() == [[120 * 10**9, 240 * 10**9]]


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace("\n", "\r\n"),
        lambda t: t.rstrip("\n"),
        lambda t: t + "\n\r\n\n",
        lambda t: "\ufeff" + t,
        lambda t: t.replace("1.15,1.15", '"1.15", 1.15'),
        lambda t: t.replace("1.2,", "+1.2E0,").replace("7.5", ".75e1"),
        lambda t: t.replace("1.2,", "1.20000000000000000000,"),
    ],
    ids=["crlf", "no last newline", "blank end", "bom", "quotes", "exponents", "long"],
)
def test_ways_to_write_the_same_csv(tmp_path: Path, change: object) -> None:
    plain = load_prices(write(tmp_path, BARS))
    other = load_prices(write(tmp_path, change(BARS), "other.csv"))  # type: ignore[operator]
    assert isinstance(plain, Bars)
    assert isinstance(other, Bars)
    assert other.high.tolist() == plain.high.tolist()
    assert other.volume.tolist() == plain.volume.tolist()
    assert (other.digits, other.volume_digits) == (plain.digits, plain.volume_digits)


@pytest.mark.parametrize(
    ("column", "text", "ns"),
    [
        ("ts_ns", "1760130000000000001", 1760130000000000001),
        ("ts_us", "1760130000000000", 1760130000000000000),
        ("ts_us", "1760130000000000.001", 1760130000000000001),
        ("ts_ms", "1760130000000.5", 1760130000000500000),
        ("ts_s", "1760130000", 1760130000000000000),
        ("ts_s", "1.76013e9", 1760130000000000000),
        ("ts", "2025-10-10T21:00:00Z", 1760130000000000000),
        ("ts", "2025-10-10 21:00:00.000000001", 1760130000000000001),
        ("ts", "2025-10-10T23:30:00+02:30", 1760130000000000000),
        ("ts", "2025-10-10T19:00-0200", 1760130000000000000),
        ("ts", "2025-10-10", 1760054400000000000),
        ("ts", "2024-02-29T00:00:00Z", 1709164800000000000),
    ],
)
def test_forms_of_time(tmp_path: Path, column: str, text: str, ns: int) -> None:
    trades = load_prices(write(tmp_path, f"{column},price\n{text},1.5\n"))
    assert isinstance(trades, Trades)
    assert trades.ts.tolist() == [ns]


def test_times_of_mixed_layouts(tmp_path: Path) -> None:
    rows = ["2025-01-01", "2025-01-01T00:00:01", "2025-01-01 00:00:02", "2025-01-01T00:00:02.5Z"]
    text = "ts,price\n" + "".join(f"{r},1\n" for r in rows)
    ts = load_prices(write(tmp_path, text)).ts  # type: ignore[union-attr]
    assert (ts - ts[0]).tolist() == [0, 10**9, 2 * 10**9, 2_500_000_000]


def test_files_longer_than_a_block(tmp_path: Path) -> None:
    rows = 100_000
    lines = [f"{i},{100 + i % 7}.{i % 100:02d}" for i in range(rows)]
    lines[-1] += "5"  # the last block needs one more decimal than the first
    path = write(tmp_path, "ts_ms,price\n" + "\n".join(lines), "long.csv.gz")
    trades = load_prices(path)
    assert isinstance(trades, Trades)
    assert len(gzip.decompress(path.read_bytes())) > BLOCK_BYTES
    assert trades.digits == 3
    expected = [int(Decimal(line.split(",")[1]) * 1000) for line in lines]
    assert trades.price.tolist() == expected


def test_quotes_with_sizes(tmp_path: Path) -> None:
    text = "ts_s,bid,ask,bid_size,ask_size\n1,10,10.5,3,0.25\n1,11,10.75,1,1\n"
    quotes = load_prices(write(tmp_path, text))
    assert isinstance(quotes, Quotes)
    assert (quotes.digits, quotes.size_digits, quotes.crossed) == (2, 2, 1)
    assert quotes.bid.tolist() == [1000, 1100]
    assert quotes.bid_size is not None
    assert quotes.bid_size.tolist() == [300, 100]


def test_marks_and_funding(tmp_path: Path) -> None:
    points = load_marks(write(tmp_path, "ts_s,price\n1,1.5\n"))
    bars = load_marks(write(tmp_path, BARS))
    single = load_marks(
        write(tmp_path, "ts_s,open,high,low,close\n60,1,1,1,1\n"), interval_ns=60 * 10**9
    )
    rates = load_funding(write(tmp_path, "ts_ms,funding_rate\n0,-7.1e-06\n1,0.0001\n2,1e-05\n"))
    assert isinstance(points, MarkPoints)
    assert isinstance(bars, MarkBars)
    assert isinstance(single, MarkBars)
    assert isinstance(rates, Funding)
    assert (rates.rate.tolist(), rates.digits) == ([-71, 1000, 100], 7)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("", "", "empty"),
        ("\n", "", "empty"),
        ("ts_ms,price\n", "", "no row"),
        ("ts_ms,price\n\n\n", "", "no row"),
        ("ts_ms,price\n1,nan\n", "row 1, column price", "not a finite"),
        ("ts_ms,price\n1,1\n2,-Infinity\n", "row 2, column price", "not a finite"),
        ("ts_ms,price\n1,0\n", "row 1, column price", "not positive"),
        ("ts_ms,price\n1,1\n2,-3\n", "row 2, column price", "not positive"),
        ("ts_ms,price\n1,1\n2,\n", "row 2, column price", "not a number"),
        ("ts_ms,price\n1,1\n2,1_000\n", "row 2, column price", "not a number"),
        ("ts_ms,price\n1,1\n2,.\n", "row 2, column price", "not a number"),
        ("ts_ms,price\n1,1\n2,1.2.3\n", "row 2, column price", "not a number"),
        ("ts_ms,price\n1,1\nx,1\n", "row 2, column ts_ms", "not a number"),
        ("ts_ms,price\n1,\xff\x00\n", "row 1, column price", "not a number"),
        ("ts_ms,price\n1,1e30\n", "row 1, column price", "64 bits"),
        ("ts_ms,price\n1,9223372036854775808\n", "row 1, column price", "64 bits"),
        ("ts_ms,price\n1,1e15\n2,0.00001\n", "row 1, column price", "64 bits"),
        ("ts_ms,price\n1,1e-19\n", "row 1, column price", "decimals"),
        ("ts_s,price\n1,1\n99999999999,1\n", "row 2, column ts_s", "64 bits"),
        ("ts_ns,price\n1.5,1\n", "column ts_ns", "nanosecond"),
        ("ts_ms,price\n-1,1\n", "row 1, column ts", "1970"),
        ("ts_ms,price\n2,1\n1,1\n", "row 2, column ts", "backwards"),
        ("ts_ms,price\n1,1\n2,1,3\n3,1\n", "row 2", "3 fields"),
        ("ts_ms,price\n1,1\n\n3,1\n", "row 2", "1 fields"),
        ("ts_ms,price\n1,1\n2\n", "row 2", "1 fields"),
        ("ts_ms,bid\n1,1\n", "header, column ask", "missing"),
        ("ts_ms,price,foo\n1,1,1\n", "header, column 'foo'", "unknown"),
        ("ts_ms,price,price\n1,1,1\n", "header, column price", "twice"),
        ("price\n1\n", "header", "no time column"),
        ("ts_ms,ts_s,price\n1,1,1\n", "header", "several"),
        ("ts_ms,px\n1,1\n", "header", "fit no series"),
        ("1,1.5\n2,1.6\n", "header", "no time column"),
        ("ts,price\n2025-13-01,1\n", "row 1, column ts", "no time"),
        ("ts,price\n2025-01-01,1\n2025-02-29,1\n", "row 2, column ts", "no time"),
        ("ts,price\n2025-01-01T24:00:00,1\n", "row 1, column ts", "no time"),
        ("ts,price\n1700000000,1\n", "row 1, column ts", "ISO-8601"),
        ("ts_ms,open,high,low,close,volume\n1,1,1,1,1,1\n", "row 1, column ts", "interval"),
        ("ts_ms,open,high,low,close\n1,1,1,1,1\n", "header, column volume", "missing"),
        (BARS + "240001,1,1,1,1,1\n", "row 4, column ts", "less than"),
        (BARS + "300000,1,0.9,1,1,1\n", "row 4, column high", "below low"),
        (BARS + "300000,1,2,1,2.01,1\n", "row 4, column close", "outside"),
        (BARS + "300000,1,2,1,2,-1\n", "row 4, column volume", "negative"),
    ],
)
def test_bad_csv_is_refused(tmp_path: Path, text: str, place: str, words: str) -> None:
    path = write(tmp_path, text.encode("latin-1"))
    with pytest.raises(DataError, match=words) as caught:
        load_prices(path)
    assert caught.value.place == (f"{path}: {place}" if place else str(path))
    assert caught.value.fix


def test_a_bad_row_behind_the_first_block_is_named(tmp_path: Path) -> None:
    rows = [f"{i},1.5" for i in range(BLOCK_BYTES // 8)]
    rows[-2] = "7"
    with pytest.raises(DataError) as caught:
        load_prices(write(tmp_path, "ts_ms,price\n" + "\n".join(rows)))
    assert caught.value.place.endswith(f"row {len(rows) - 1}")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        load_prices(tmp_path / "missing.csv")
    with pytest.raises(DataError, match="known format"):
        load_prices(write(tmp_path, BARS, "p.txt"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        load_prices(tmp_path / "folder.csv")
    with pytest.raises(DataError, match="longer than 1 MB"):
        load_prices(write(tmp_path, b"ts_ms,price\n" + b"1" * (3 * BLOCK_BYTES)))


def test_a_cut_gzip_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(("ts_ms,price\n" + "".join(f"{i},1\n" for i in range(9999))).encode())
    for cut in (len(whole) // 2, len(whole) - 4, 5):
        path = tmp_path / "cut.csv.gz"
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match="damaged or cut short"):
            load_prices(path)
    path.write_bytes(BARS.encode())
    with pytest.raises(DataError, match="damaged or cut short"):
        load_prices(path)


def test_npz_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    bars = load_prices(write(tmp_path, BARS))
    for series, load in (
        (bars, load_prices),
        (load_marks(write(tmp_path, BARS)), load_marks),
        (load_funding(write(tmp_path, "ts_ms,funding_rate\n0,1e-05\n")), load_funding),
        (load_prices(write(tmp_path, "ts_s,price,size\n1,1.5,2\n")), load_prices),
        (load_prices(write(tmp_path, "ts_s,bid,ask\n1,1.5,2\n")), load_prices),
    ):
        save_npz(path, series)
        again = load(path)
        assert type(again) is type(series)
        for name in series.__dataclass_fields__:
            assert np.array_equal(getattr(again, name), getattr(series, name)), name
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".npz"] == ["p.npz"]


@pytest.mark.req("D-10.2")
def test_own_files_are_mapped_and_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    saved = load_prices(write(tmp_path, BARS))
    assert isinstance(saved, Bars)
    save_npz(path, saved)
    arrays = load_arrays(path)
    assert all(a.base is not None and a.flags.aligned for a in arrays.values() if a.ndim)
    for write_npz in (np.savez, np.savez_compressed):
        other = tmp_path / f"{write_npz.__name__}.npz"
        write_npz(other, **arrays)  # type: ignore[operator]
        read = load_arrays(other)
        other.write_bytes(b"")  # nobody may be hurt by this
        assert list(read) == list(arrays)
        assert all(np.array_equal(read[n], arrays[n]) for n in arrays)
    old = load_prices(path)
    save_npz(path, saved)  # replacing a file leaves those who mapped it alone
    save_npz(path, load_prices(write(tmp_path, BARS.replace("1.15", "1.12"))))
    assert isinstance(old, Bars)
    assert old.open.tolist() == saved.open.tolist()


def npz(folder: Path, **columns: object) -> Path:
    path = folder / "x.npz"
    np.savez(path, **columns)  # type: ignore[arg-type]
    return path


def test_npz_floats_take_their_shortest_text(tmp_path: Path) -> None:
    ts = np.array([1, 2, 3])
    trades = load_prices(npz(tmp_path, ts_ns=ts, price=np.array([0.1, 0.29, 7.0])))
    noisy = load_prices(npz(tmp_path, ts_ns=ts, price=np.array([0.1 + 0.2, 0.1, 1e-9])))
    assert isinstance(trades, Trades)
    assert isinstance(noisy, Trades)
    assert (trades.price.tolist(), trades.digits) == ([10, 29, 700], 2)
    assert to_decimal(int(noisy.price[0]), noisy.digits) == Decimal("0.30000000000000004")
    assert to_decimal(int(noisy.price[2]), noisy.digits) == Decimal("1e-9")


def test_npz_times_may_be_text_floats_or_datetimes(tmp_path: Path) -> None:
    price = np.array([1.5, 1.5])
    text = np.array(["2025-10-10T21:00:00Z", "2025-10-10T21:00:00.5Z"])
    for name, ts in (
        ("ts", text),
        ("ts_s", np.array([1760130000.0, 1760130000.5])),
        ("ts_ns", np.array(["2025-10-10T21:00:00", "2025-10-10T21:00:00.5"], "datetime64[ms]")),
    ):
        trades = load_prices(npz(tmp_path, **{name: ts}, price=price))
        assert isinstance(trades, Trades)
        assert trades.ts.tolist() == [1760130000000000000, 1760130000500000000]


@pytest.mark.parametrize(
    ("columns", "place", "words"),
    [
        ({"price": np.array([1.0, np.nan])}, "row 2, column price", "finite"),
        ({"price": np.array([1, 2])}, "column price", "decimals"),
        ({"price": np.array([1.0])}, "column price", "shape"),
        ({"price": np.array([1.0, 2.0], np.float32)}, "column price", "float32"),
        (
            {"price": np.array([1, 2**63], np.uint64), "digits": np.array(0)},
            "row 2, column price",
            "64 bits",
        ),
        ({"price": np.array([1, 2]), "digits": np.array(1.5)}, "digits", "integer"),
        ({"price": np.array([1.0, 2.0]), "odd": np.array([1, 2])}, "header, column 'odd'", "unkn"),
        ({"price": np.array([None, 1.0])}, "", "plain arrays"),
    ],
)
def test_bad_npz_is_refused(
    tmp_path: Path, columns: dict[str, object], place: str, words: str
) -> None:
    path = npz(tmp_path, ts_ns=np.array([1, 2]), **columns)
    with pytest.raises(DataError, match=words) as caught:
        load_prices(path)
    assert caught.value.place == (f"{path}: {place}" if place else str(path))


def test_damaged_or_empty_npz_is_refused(tmp_path: Path) -> None:
    path = npz(tmp_path, ts_ns=np.arange(999), price=np.full(999, 1.5))
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(DataError, match="damaged or cut short"):
        load_prices(path)
    path.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    with pytest.raises(DataError, match="damaged or cut short"):
        load_prices(path)
    save_npz(path, Trades(np.arange(999), np.full(999, 7), 1))
    whole = path.read_bytes()
    path.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    with pytest.raises(DataError, match="damaged or cut short"):
        load_prices(path)
    path.write_bytes(b"not a zip at all")
    with pytest.raises(DataError, match="damaged or cut short"):
        load_prices(path)
    with pytest.raises(DataError, match="empty"):
        load_prices(npz(tmp_path, ts_ns=np.arange(0), price=np.zeros(0)))


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "q.parquet"
    frame = pl.DataFrame(
        {
            "ts": pl.Series([1760130000000, 1760130000500]).cast(pl.Datetime("ms")),
            "bid": [1.25, 1.5],
            "ask": pl.Series(["1.5", "1.625"]),
        }
    )
    frame.write_parquet(path)
    quotes = load_prices(path)
    assert isinstance(quotes, Quotes)
    assert quotes.ts.tolist() == [1760130000000000000, 1760130000500000000]
    assert (quotes.bid.tolist(), quotes.ask.tolist(), quotes.digits) == (
        [1250, 1500],
        [1500, 1625],
        3,
    )
    frame.with_columns(bid=pl.Series([1.5, None])).write_parquet(path)
    with pytest.raises(DataError, match="missing") as caught:
        load_prices(path)
    assert caught.value.place == f"{path}: row 2, column bid"
    frame.clear().write_parquet(path)
    with pytest.raises(DataError, match="no rows"):
        load_prices(path)
    path.write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="Parquet"):
        load_prices(path)


def test_a_damaged_parquet_ends_in_an_error_whatever_becomes_of_its_reader(tmp_path: Path) -> None:
    path, draw = tmp_path / "q.parquet", random.Random(448)  # polars 2.1.0 aborts over this one
    bids = [1.25 + i / 8 for i in range(40)]
    columns = {"ts_ms": [1760130000000 + i * 500 for i in range(40)], "bid": bids,
               "ask": [str(bid + 0.25) for bid in bids]}  # fmt: skip
    pl.DataFrame(columns).write_parquet(path, compression="uncompressed")
    data = bytearray(path.read_bytes())
    for _ in range(draw.choice((1, 1, 2, 4))):
        data[draw.randrange(len(data))] = draw.randrange(256)
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        load_prices(path)
    assert caught.value.place.startswith(str(path)) and caught.value.fix


def test_a_reader_of_parquet_that_is_ended_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, reader = tmp_path / "q.parquet", tmp_path / "python"
    pl.DataFrame({"ts_ms": [1], "price": [1.5]}).write_parquet(path)
    reader.write_text("#!/bin/sh\nkill -ABRT $$\n")
    reader.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(reader))
    with pytest.raises(DataError, match=r"no readable Parquet \(signal 6\)") as caught:
        load_prices(path)
    assert caught.value.place == str(path) and caught.value.fix == "fetch or write it again."


def test_a_parquet_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        load_prices(tmp_path / "q.parquet")


def test_parquet_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(DataError, match="library polars") as caught:
        price_files.load_prices(tmp_path / "q.parquet")
    assert "pip install" in caught.value.fix

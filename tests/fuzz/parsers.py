"""The table of parsers: each takes bytes as they would come from a file, a line or a socket."""

import gzip
import hashlib
import io
import json
import struct
import tarfile
import zlib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import numpy as np

from cerberus_trader.config import load_settings, parse_text
from cerberus_trader.control.tokens import TokenStore
from cerberus_trader.domain.framing import HEAD, Decoder, encode
from cerberus_trader.domain.row import decode_row, encode_row
from cerberus_trader.engine.state import state_bytes
from cerberus_trader.heads.lines.files import read_signals
from cerberus_trader.heads.lines.parse import parse_signal
from cerberus_trader.instruments import read_instruments
from cerberus_trader.journal import anchor, segments
from cerberus_trader.journal.manifest import Entry, Manifest
from cerberus_trader.journal.rows import Restored, Row, Snapshot
from cerberus_trader.journal.unpack import MANIFEST_NAME, check_backup
from cerberus_trader.market.columns import Quotes
from cerberus_trader.replay.price_files import load_funding, load_marks, load_prices, save_npz
from cerberus_trader.runtime import frames
from cerberus_trader.runtime.ingest import parse_price
from cerberus_trader.runtime.marker import Deed, EmergencyLog, HaltMarker, Header, Mark
from cerberus_trader.runtime.recover import read_bests, recover
from cerberus_trader.runtime.timeserver import PACKET, offset_of, stamp
from cerberus_trader.security import envelope
from cerberus_trader.security.passphrase import Passphrase
from cerberus_trader.simulation.swarm import parse_faults
from cerberus_trader.venues.remote import wire
from tests.fuzz.codecs import Codec, Insane
from tests.kit import NOON, Bench

D = Decimal
SIGNAL = {
    "id": "s1", "ts_ms": 1_700_000_000_123, "instrument": "DOGEUSDT", "side": "sell",
    "confidence": "medium", "source": "a", "price": 0.1, "volume": 100, "quantity": "5",
    "leverage": 3, "stop_loss": 0.2, "take_profit_pct": 5, "trailing_pct": 1.5, "order": "limit",
    "limit": 0.1, "expires_ms": 1000, "metadata": {"k": [1, "x", None]},
}  # fmt: skip
LINES = [json.dumps(SIGNAL).encode(), b'{"ts":"2025-01-31T12:00:00.5Z","instrument":"COIN",'
         b'"side":"buy","confidence":0.7,"source":"a","stop_loss_pct":"2"}']  # fmt: skip
PRICES = [b'{"instrument":"COIN","bid":"99.5","ask":"100.5","mark":"100","ts_ms":1700000000000}',
          b'{"instrument":"COIN","price":100,"funding_rate":0.0001,"ts":"2025-01-31T12:00:00Z"}',
          b'{"instrument":"COIN","price":1e2,"ts_s":1700000000.5}']  # fmt: skip
TOML = [b"""stage = "dev"
[risk]
positions_max = 3
gross_exposure_max = "2.5"
volatility_halt = 0.5
[breaker]
day_loss = 0.03
day_loss_action = "block"
[strategies.one]
sources = ["*"]
budget = 0.5
[strategies.one.params]
window = 20
"""]  # fmt: skip
ENVIRONMENT = [b"CERBERUS_RISK__POSITIONS_MAX=3\nCERBERUS_BREAKER__DAY_LOSS=0.03\n"
               b"CERBERUS_SIZING__METHODS=[\"risk\"]\nCERBERUS_STRATEGIES__A__BUDGET=0.5\n"
               b"CERBERUS_STAGE=dev"]  # fmt: skip
INSTRUMENTS = [b"""[common]
venue = "paper"
tick = "0.01"
[instruments.COIN]
lot = 0.001
maker_fee = -0.0001
taker_fee = "0.0005"
sessions = ["mon-fri 14:30-21:00"]
tiers = [[0, 20000, 0.0065, 75, 0], [20000, 200000, 0.01, 50, 70]]
"""]  # fmt: skip
CSV = [b"ts_ms,bid,ask\n1700000000000,0.1,0.2\n1700000000100,0.15,0.25\n",
       b"ts,open,high,low,close,volume\n2025-01-01T00:00:00Z,1,2,1,1.5,10\n"
       b"2025-01-01T00:01:00Z,1.5,1.6,1,1.1,7\n2025-01-01T00:02:00Z,1.1,3,1,2,0\n",
       b'ts_ns,price,size\n1700000000000000000,"5.5",1\n1700000000000000001,5e0,2\n']  # fmt: skip
MARKS = [b"ts_ms,price\n1700000000000,0.1\n1700000000100,0.15\n"]
FUNDING = [b"ts_ms,funding_rate\n1700000000000,0.0001\n1700028800000,-0.0003\n"]
FAULTS = [b"answer_lost=0.3,crash_at_sync=0.02", b"latency_s", b"busy=1e-3, partial=0.5"]


def text(data: bytes) -> str:
    """Decode as the system does with arguments and the environment."""
    return data.decode("utf-8", "surrogateescape")


def signal(data: bytes) -> Any:
    found = parse_signal(data, place="f:1")
    if found.faults():
        raise Insane(f"faults: {found.faults()}")
    return found


def from_file(path: Path, load: Callable[[Path], Any]) -> Callable[[bytes], Any]:
    """Read what a loader makes of a file with these bytes."""

    def read(data: bytes) -> Any:
        path.write_bytes(data)
        return load(path)

    return read


def environment(data: bytes) -> Any:
    pairs = [line.split("=", 1) for line in text(data).split("\n") if "=" in line]
    return load_settings(environ=dict(pairs), folder=Path("/nowhere")).settings


def framed(data: bytes) -> bytes:
    """Give bytes the length that a frame must say, so that its body is looked at."""
    body = data[HEAD.size :]
    return HEAD.pack(len(body)) + body


def request(data: bytes) -> Any:
    decoder: Decoder[frames.Request] = Decoder(frames.Request)
    return [frames.checked(found) for found in decoder.feed(data)]


def message(data: bytes) -> Any:
    decoder: Decoder[wire.Message] = Decoder(wire.Message)
    return [wire.checked(found) for found in decoder.feed(data)]


def history() -> Bench:
    """Make a small history: a position, a working order, a denial."""
    bench = Bench()
    bench.open(stop="98")
    bench.signal(instrument="OTHER", order="limit", limit=D(99))
    bench.signal(instrument="NONE")
    return bench


def lines() -> dict[str, Codec]:
    """Return the parsers of what people and heads write."""
    known = Bench().state

    def price(data: bytes) -> Any:
        return tuple(parse_price(data, "f:1", NOON, known))

    return {
        "signal line": Codec(LINES, signal),
        "price line": Codec(PRICES, price),
        "faults option": Codec(FAULTS, lambda data: parse_faults(text(data))),
        "environment": Codec(ENVIRONMENT, environment),
        "instruments": Codec(
            INSTRUMENTS,
            lambda data: read_instruments(
                parse_text(data.decode("utf-8", "replace"), ".toml", place="f"), place="f"
            ),
        ),
        "time server": Codec(
            [PACKET.pack(0x24, 2, 6, -20, 0, 0, 1, 5, 5, *stamp(NOON), *stamp(NOON), *stamp(NOON))],
            lambda data: offset_of(data, NOON, NOON + 1_000_000),
        ),
    }


def files(folder: Path) -> dict[str, Codec]:
    """Return the parsers of files that people give."""
    save_npz(folder / "seed.npz", Quotes(np.arange(3) + NOON, np.arange(3) + 100,
                                         np.arange(3) + 101, 2))  # fmt: skip
    npz = (folder / "seed.npz").read_bytes()
    plain = io.BytesIO()
    np.savez(plain, ts_ms=np.arange(3), price=np.array([1.5, 2.0, 2.5]))

    def settings(path: Path) -> Any:
        return load_settings(path, environ={}).settings

    def signals(path: Path) -> Any:
        return read_signals(path)[0]

    json_config = json.dumps({"stage": "dev", "risk": {"positions_max": 3, "volatility_halt": 0.5},
                              "strategies": {"a": {"budget": "0.5"}}}).encode()  # fmt: skip
    many = b"\n".join(LINES * 3)
    return {
        "config TOML": Codec(TOML, from_file(folder / "c.toml", settings)),
        "config JSON": Codec([json_config], from_file(folder / "c.json", settings)),
        "signal file": Codec([many], from_file(folder / "s.jsonl", signals)),
        "signal file gz": Codec([gzip.compress(many)], from_file(folder / "s.jsonl.gz", signals)),
        "prices CSV": Codec(CSV, from_file(folder / "p.csv", load_prices)),
        "prices CSV gz": Codec(
            [gzip.compress(data) for data in CSV], from_file(folder / "p.csv.gz", load_prices)
        ),
        "prices NPZ": Codec([npz, plain.getvalue()], from_file(folder / "p.npz", load_prices)),
        "marks CSV": Codec(MARKS, from_file(folder / "m.csv", load_marks)),
        "funding CSV": Codec(FUNDING, from_file(folder / "f.csv", load_funding)),
    }


def sockets() -> dict[str, Codec]:
    """Return the parsers of what comes over a line."""
    bench = history()
    fill = next(event for event, _ in bench.rows if type(event).__name__ == "FillReport")
    words = msgspec.structs.replace(fill, ts_ns=0, marks=(), margin=D("222.22"))
    asked = [frames.Status(), frames.Operate("modify", "t", "r", "x", D(5), D(3)),
             frames.Authorise("deposit", "x", "t", "r", D(100)), frames.Explain("d1")]  # fmt: skip
    quote = wire.Quote("COIN", D(99), D(100), NOON)
    said = [wire.Spoken(words), wire.Booked(3, (words,)), wire.Acked(1, True, "fine"),
            wire.Prices((quote,)), wire.Done(1, NOON)]  # fmt: skip
    return {
        "control frames": Codec([encode(m) for m in asked], request, framed),
        "venue wire": Codec([encode(m) for m in said], message, framed),
    }


def stored(folder: Path) -> dict[str, Codec]:
    """Return the parsers of what Cerberus itself stores; most stand behind checksums."""
    bench = history()
    rows = [encode_row(event, facts) for event, facts in bench.rows]
    (folder / "segments").mkdir()
    segment = folder / "segments" / "1-3.seg"
    footer = segments.Footer(segments.VERSION, "rows", "main", "e", 1, 3, 0)
    held = [Row("main", i + 1, NOON, "k", body[:200], bytes(32)) for i, body in enumerate(rows[:3])]
    segments.write_segment(segment, held, footer)

    def snapshot(data: bytes) -> Any:
        return recover(Restored(Snapshot(1, 1, "v", b"", b"", data), iter(()), ()))

    def read_segment(path: Path) -> Any:
        return list(segments.read_segment(path, "main"))

    file = anchor.AnchorFile(folder)
    file.write(anchor.Anchor("main", 7, bytes(32)))
    file.write(anchor.Anchor("main", 8, bytes(32)))
    file.close()
    (folder / "tokens.json").touch(0o600)
    marker = b"HALT\n" + msgspec.json.encode(Mark("t", "r", 5, True))
    log = b"\n".join(msgspec.json.encode(x) for x in (Header("e"), Deed(1, "t", "x"))) + b"\n"

    def emergency(_: Path) -> Any:
        return HaltMarker(folder).read(), EmergencyLog(folder).read()

    return {
        "journal row": Codec(rows, lambda d: decode_row(d, place="r"), trusted=True),
        "snapshot": Codec([state_bytes(bench.state)], snapshot, trusted=True),
        "segment": Codec(
            [segment.read_bytes()], from_file(segment, read_segment), mended_segment, True
        ),
        "anchor": Codec(
            [(folder / "anchor").read_bytes()],
            from_file(folder / "anchor", lambda p: anchor.read_anchor(p.parent)),
            mended_anchor,
        ),
        "tokens": Codec(
            [b'[{"id":"a","role":"admin","scope":"all","hash":"0","created_ns":1,"expires_ns":2}]'],
            from_file(folder / "tokens.json", lambda p: TokenStore(p.parent).tokens()),
            trusted=True,
        ),
        "halt marker": Codec([marker], from_file(folder / "halt.marker", emergency)),
        "emergency log": Codec([log], from_file(folder / "emergency.log", emergency)),
        "trailing stops": Codec(
            [b'{"p1":"100.5","p2":"0.0001"}'],
            from_file(folder / "trailing.json", lambda p: read_bests(p.parent)),
        ),
        **backups(folder),
    }


def mended_anchor(data: bytes) -> bytes:
    """Give both slots the checksum that they must have."""
    size, slot = anchor.SLOT_BYTES, struct.Struct(">8sQQ32sH128s").size
    pages = []
    for page in (data[:size], data[size : 2 * size]):
        packed = page[:slot]
        pages.append((packed + struct.pack(">I", zlib.crc32(packed))).ljust(size, b"\0"))
    return b"".join(pages)


def mended_segment(data: bytes) -> bytes:
    """Give every block the length and checksum that it must have, as far as it goes."""
    out, at, head = data[:8], 8, struct.Struct(">QIII")
    while at + head.size + 4 <= len(data):
        first, rows, raw, size = head.unpack_from(data, at)
        body = data[at + head.size + 4 : at + head.size + 4 + size]
        start = head.pack(first, rows, raw, len(body))
        out += start + struct.pack(">I", zlib.crc32(body, zlib.crc32(start))) + body
        at += head.size + 4 + size
    return out + data[at:]


def quick_key(passphrase: Passphrase, salt: bytes, cost: Any) -> bytearray:
    """Stand in for Argon2id, which costs ten milliseconds and parses nothing."""
    return bytearray(hashlib.sha256(salt + repr(tuple(cost)).encode()).digest())


def backups(folder: Path) -> dict[str, Codec]:
    """Return the parsers of backups: the archive, the same behind gzip, and the envelope."""
    body = b"x" * 600
    entries = (Entry("anchor", len(body), hashlib.sha256(body).hexdigest()),)
    manifest = Manifest(
        engine_version="1", engine_id="e", stream="main", created_ns=1, rows=1, last_seq=1,
        last_hash="00", last_ts_ns=1, config="c", files=entries,
    )  # fmt: skip
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for name, data in ((MANIFEST_NAME, msgspec.json.encode(manifest)), ("anchor", body)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    tar = packed.getvalue()
    word = Passphrase("correct horse")
    sealed = io.BytesIO()
    with mock.patch.object(envelope, "_derive", quick_key):
        envelope.seal(gzip.compress(tar), word, "backup", sealed, cost=envelope.COST_MIN)

    def opened(path: Path) -> Any:
        with mock.patch.object(envelope, "_derive", quick_key):
            return check_backup(path, word)

    def mended_header(data: bytes) -> bytes:
        size = envelope.HEADER_BYTES
        head = data[: size - 16]
        return head + hashlib.sha256(head).digest()[:16] + data[size:]

    path = folder / "b.backup"
    return {
        "backup archive": Codec([tar], from_file(path, opened), zipped, True),
        "backup": Codec([gzip.compress(tar)], from_file(path, opened), trusted=True),
        "envelope": Codec([sealed.getvalue()], from_file(path, opened), mended_header, True),
    }


def zipped(data: bytes) -> bytes:
    return gzip.compress(data, 1)


def all_codecs(folder: Path) -> dict[str, Codec]:
    """Return every parser by name; `folder` takes the files of those that read files."""
    return {**lines(), **files(folder), **sockets(), **stored(folder)}

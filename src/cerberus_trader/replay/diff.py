"""Where two runs parted, and why: their journals compared event by event."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from cerberus_trader.domain.decision import Decision
from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.events import ConfigEvent, FillReport
from cerberus_trader.domain.facts import Filled, SignalJudged
from cerberus_trader.domain.money import plain
from cerberus_trader.domain.row import Row, decode_row
from cerberus_trader.engine.checks import INTAKE, RISK
from cerberus_trader.engine.leverage import CAPS, FACTORS, INPUTS
from cerberus_trader.engine.sizing import BOUNDS
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.store import JOURNAL_NAME
from cerberus_trader.replay.report_parts import when

CHECKS = INTAKE + RISK
FILL_FIELDS = ("ts_ns", "instrument", "order_id", "side", "quantity", "price", "fee", "reason")


class Change(NamedTuple):
    """Hold one thing that differs: its name, and its value in either run."""

    name: str
    a: str
    b: str


class Difference(NamedTuple):
    """Hold how two runs differ; empty parts are equal.

    `decision` are the differing parts of the first signal judged differently, `fill` of the
    first differing fill; `decision_at` and `fill_at` say which ones these are.
    """

    events: tuple[int, int]
    parted: str
    config: tuple[Change, ...]
    decision_at: str
    decision: tuple[Change, ...]
    fill_at: str
    fill: tuple[Change, ...]

    @property
    def same(self) -> bool:
        """Tell whether nothing differs."""
        return not (self.parted or self.config or self.decision or self.fill)


class Run(NamedTuple):
    """Hold what is compared of a run."""

    rows: list[Row]
    config: ConfigEvent
    decisions: list[Decision]
    fills: list[FillReport]


def diff_runs(a: Path, b: Path) -> Difference:
    """Compare two folders that replays wrote; raise `DataError` or `JournalError` for others."""
    one, two = read_run(a), read_run(b)
    decision_at, decision = first_decision(one.decisions, two.decisions)
    fill_at, fill = first_fill(one.fills, two.fills)
    return Difference(
        (len(one.rows), len(two.rows)), parting(one.rows, two.rows),
        tuple(config_changes(one.config, two.config)), decision_at, tuple(decision), fill_at,
        tuple(fill),
    )  # fmt: skip


def read_run(folder: Path) -> Run:
    """Read a run's journal."""
    if not (folder / JOURNAL_NAME).is_file():
        raise DataError(
            f"there is no {JOURNAL_NAME}.", code="RUN_MISSING", place=str(folder),
            fix="name a folder that `cerberus replay --out` wrote.",
        )  # fmt: skip
    rows = [decode_row(row.body, place=f"{folder}: row {row.seq}")
            for row in JournalReader(folder).rows()]  # fmt: skip
    configs = [row.event for row in rows if isinstance(row.event, ConfigEvent)]
    if not configs:
        raise _without_config(folder)
    return Run(
        rows,
        configs[0],
        [fact.decision for row in rows for fact in row.facts if isinstance(fact, SignalJudged)],
        [
            row.event
            for row in rows
            if isinstance(row.event, FillReport)
            and any(isinstance(fact, Filled) for fact in row.facts)
        ],
    )


def _without_config(folder: Path) -> DataError:
    """Make the error of a journal whose configuration is gone: retention deletes the oldest."""
    pruned = any(head.deleted for head in JournalReader(folder).heads())
    cause = ", retention has deleted its beginning" if pruned else ""
    return DataError(
        f"the journal holds no configuration{cause}.", code="RUN_CONFIG", place=str(folder),
        fix="compare folders whose journals are whole, as `cerberus replay --out` writes them.",
    )  # fmt: skip


def parting(a: list[Row], b: list[Row]) -> str:
    """Say in a sentence which event parts two runs; the configuration's own row aside."""
    for number, (one, two) in enumerate(zip_longest(a, b), 1):
        if one is None or two is None:
            longer = "the second" if one is None else "the first"
            row = two or one
            return f"event {number}: only {longer} run goes on, with {event_words(row)}"
        if isinstance(one.event, ConfigEvent) and isinstance(two.event, ConfigEvent):
            continue
        if one.event != two.event:
            return f"event {number}: {event_words(one)} against {event_words(two)}"
        if [bare(fact) for fact in one.facts] != [bare(fact) for fact in two.facts]:
            return f"event {number}: {event_words(one)} had other consequences"
    return ""


def event_words(row: Row) -> str:
    """Name an event for people."""
    event: Any = row.event
    kind = type(event).__name__.removesuffix("Event").removesuffix("Report").lower()
    signal = getattr(event, "signal", None)
    about = signal.id if signal is not None else getattr(event, "instrument", "")
    return f"{kind} {about} at {when(event.ts_ns)}".replace("  ", " ")


def bare(fact: Any) -> Any:
    """Leave out of a fact what follows from the configuration's name alone."""
    if isinstance(fact, SignalJudged):
        return msgspec.structs.replace(fact, decision=bare_decision(fact.decision))
    return fact


def bare_decision(decision: Decision) -> Decision:
    """Leave the configuration's hash and the cache's keys out of a decision."""
    return msgspec.structs.replace(decision, config="", cache_key="", cache_hit=False)


def config_changes(a: ConfigEvent, b: ConfigEvent) -> Iterator[Change]:
    """Give the configuration keys that differ, instruments included."""
    for name, one, two in (
        ("", a.settings, b.settings),
        ("instruments", {item.name: item for item in a.instruments},
         {item.name: item for item in b.instruments}),
    ):  # fmt: skip
        left, right = flat(msgspec.to_builtins(one), name), flat(msgspec.to_builtins(two), name)
        for key in sorted({**left, **right}):
            if left.get(key) != right.get(key):
                yield Change(key, left.get(key, "absent"), right.get(key, "absent"))


def flat(value: Any, name: str) -> dict[str, str]:
    """Flatten nested tables to dotted keys with the text of their values."""
    if isinstance(value, dict) and value:
        found: dict[str, str] = {}
        for key, item in value.items():
            found |= flat(item, f"{name}.{key}" if name else str(key))
        return found
    if isinstance(value, list) and value and isinstance(value[0], dict | list):
        return flat({str(index): item for index, item in enumerate(value)}, name)
    return {name: text(value)}


def text(value: Any) -> str:
    """Write any value for people."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(text(item) for item in value) + "]"
    return "none" if value is None else str(value)


def first_decision(a: list[Decision], b: list[Decision]) -> tuple[str, list[Change]]:
    """Find the first signal judged differently, and what differed in its document."""
    theirs = {decision.signal_id: decision for decision in b}
    mine = {decision.signal_id: None for decision in a}
    for one in a:
        two = theirs.get(one.signal_id)
        if two is None:
            return f"signal {one.signal_id}", [Change("judged", one.verdict, "not at all")]
        changes = list(decision_changes(one, two))
        if changes:
            return f"signal {one.signal_id}, {one.instrument} {one.side} at {when(one.ts_ns)}", (
                changes
            )
    for two in b:
        if two.signal_id not in mine:
            return f"signal {two.signal_id}", [Change("judged", "not at all", two.verdict)]
    return "", []


def decision_changes(one: Decision, two: Decision) -> Iterator[Change]:
    """Give what differs between two documents on one signal: verdict first, then why."""
    for name in ("verdict", "code", "action", "strategy", "equity"):
        yield from changed(name, getattr(one, name), getattr(two, name))
    for index, check in enumerate(CHECKS):
        failed = (index in one.failed, index in two.failed)
        values = [d.values[index] if index < len(d.values) else "not reached" for d in (one, two)]
        if failed[0] != failed[1] or not same_value(*values):
            words = [f"{text(v)}{' (failed)' if f else ''}"
                     for v, f in zip(values, failed, strict=True)]  # fmt: skip
            yield Change(f"check {check.code}", words[0], words[1])
    yield from record_changes("leverage", one.leverage, two.leverage)
    yield from record_changes("sizing", one.sizing, two.sizing)


NAMES = {"inputs": INPUTS, "factors": FACTORS, "caps": CAPS, "bounds": BOUNDS}


def record_changes(name: str, one: Any, two: Any) -> Iterator[Change]:
    """Give what differs between two leverage or sizing records."""
    if one is None or two is None:
        if one is not two:
            yield Change(
                name, "none" if one is None else "present", "none" if two is None else "present"
            )
        return
    for field in one.__struct_fields__:
        left, right = getattr(one, field), getattr(two, field)
        if field not in NAMES:
            yield from changed(f"{name} {field}", left, right)
            continue
        for label, x, y in zip_longest(NAMES[field], left, right, fillvalue="absent"):
            yield from changed(f"{name} {field} {label}", x, y)


def changed(name: str, one: Any, two: Any) -> Iterator[Change]:
    """Give a change if two values differ."""
    if not same_value(one, two):
        yield Change(name, text(one), text(two))


def same_value(one: Any, two: Any) -> bool:
    """Compare values that may have become text in the journal."""
    return bool(one == two) or text(one) == text(two)


def first_fill(a: list[FillReport], b: list[FillReport]) -> tuple[str, list[Change]]:
    """Find the first fill that differs, in the order of booking."""
    for number, (one, two) in enumerate(zip_longest(a, b), 1):
        if one is None or two is None:
            fill = one or two
            where = f"fill {number}, {fill.instrument} {fill.reason} at {when(fill.ts_ns)}"
            pair = ("absent", "present") if one is None else ("present", "absent")
            return where, [Change("fill", *pair)]
        changes = [Change(name, text(getattr(one, name)), text(getattr(two, name)))
                   for name in FILL_FIELDS
                   if getattr(one, name) != getattr(two, name)]  # fmt: skip
        if changes:
            return f"fill {number}, {one.instrument} {one.reason} at {when(one.ts_ns)}", changes
    return "", []


def to_dict(found: Difference) -> dict[str, Any]:
    """Give the difference as plain data, for --json."""

    def rows(changes: tuple[Change, ...]) -> list[dict[str, str]]:
        return [change._asdict() for change in changes]

    return {
        "same": found.same, "events": list(found.events), "parted": found.parted,
        "config": rows(found.config),
        "decision": {"at": found.decision_at, "changes": rows(found.decision)},
        "fill": {"at": found.fill_at, "changes": rows(found.fill)},
    }  # fmt: skip


def sentences(found: Difference, a: str, b: str) -> list[str]:
    """Say in plain words where the runs parted and why."""
    if found.same:
        return [f"The runs are the same: {found.events[0]} events, every decision and fill alike."]
    lines = [f"{found.events[0]} events in {a}, {found.events[1]} in {b}."]
    if found.config:
        lines.append("Configuration:")
        lines += [f"  {c.name}: {c.a} against {c.b}" for c in found.config]
    else:
        lines.append("The configurations are equal.")
    if not found.parted:
        return [*lines, "All events and their consequences are alike."]
    lines.append(f"They part at {found.parted}.")
    for what, at, changes in (
        ("judged differently", found.decision_at, found.decision),
        ("filled differently", found.fill_at, found.fill),
    ):
        if changes:
            lines.append(f"First {what}: {at}")
            lines += [f"  {c.name}: {c.a} against {c.b}" for c in changes]
    return lines

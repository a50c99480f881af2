"""Break the engine on purpose, one way at a time, and see that the simulation notices.

Each mutant is a change of one place of a copy of the source: the mistakes that lose or double
orders elsewhere. It is killed when a simulated run, out of at most `RUNS`, ends with a violation.
`python -m scripts.mutants [NAME ...]` prints the table; exit code 1 if one survives.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "cerberus_trader"
RUNS = 500
WAIT_S = 60
"""How long one run may take, of which most take less than one second."""


class Mutant(NamedTuple):
    """Hold one mistake: in which file, what stands there, what it becomes."""

    name: str
    file: str
    before: str
    after: str


MUTANTS = (
    Mutant("timeout treated as reject", "runtime/link.py",
           'self._report(order.id, "unknown", _words(error))',
           'self._report(order.id, "rejected", _words(error))'),
    Mutant("resend with a new id after a timeout", "runtime/link.py",
           'self._report(order.id, "unknown", _words(error))',
           'self._report(order.id, "rejected", _words(error), retry=True)'),
    Mutant("no fill dedupe", "engine/orders.py",
           'if f"{event.account}/{event.trade_id}" in state.trade_ids:', "if False:"),
    Mutant("send before durable", "runtime/runner.py",
           "        if durable:\n            self.on_durable(seq)\n",
           "        if True:\n            self.on_durable(seq)\n"),
    Mutant("no reconciliation", "engine/reconcile.py",
           "        facts += at(look, name, look.listed.get(name))\n", "        pass\n"),
    Mutant("breaker blocks exits", "runtime/gate.py",
           '        if order.reduce_only:\n            return ""\n        if now.status',
           "        if now.status"),
    Mutant("the gate has no last word", "runtime/gate.py",
           "        now = state.orders.get(order.id)\n",
           '        return ""\n        now = state.orders.get(order.id)\n'),
    Mutant("a modify passes the gate", "runtime/gate.py",
           "        order = state.orders.get(change.order_id)\n",
           '        return ""\n        order = state.orders.get(change.order_id)\n'),
    Mutant("a change at the venue is never taken", "engine/orders.py",
           "    if quantity < order.filled or min(quantity, price) <= ZERO:\n", "    if True:\n"),
    Mutant("a modify does not wait for a stalled disk", "runtime/runner.py",
           "    return type(command) is ModifyOrder\n", "    return False\n"),
    Mutant("a halt leaves entries working, and the gate lets them out", "engine/orders.py",
           "    found: list[f.Fact] = []\n    for order_ids in state.entries.values():",
           "    found: list[f.Fact] = []\n    for order_ids in []:"),
    Mutant("late fills are dropped", "engine/orders.py",
           "    if order is None and event.order_id in state.ended:\n",
           "    if order is None:\n        return None\n"
           "    if order is None and event.order_id in state.ended:\n"),
    Mutant("a cancel counts as done when asked for", "engine/apply.py",
           "state.orders[fact.order_id] = replace(order, status=Status.PENDING_CANCEL)",
           "end_order(state, fact.order_id, Status.CANCELED)"),
    Mutant("one absence proves the end", "engine/reconcile.py",
           "absent += look.late(since)", "absent += 2"),
    Mutant("unknown exposure is released", "engine/apply.py",
           "    if fact.status in TERMINAL:\n        end_order(state, fact.order_id, fact.status)",
           "    if fact.status in TERMINAL or fact.status is Status.UNKNOWN:\n"
           "        end_order(state, fact.order_id, fact.status)"),
    Mutant("a close that a venue refuses is given up", "engine/engine.py",
           "targets.due(state, position, event.ts_ns) if flat is None else ZERO", "ZERO"),
    Mutant("recovery forgets which fills it booked", "runtime/recover.py",
           "    return state\n\n\ndef read_bests", "    state.trade_ids.clear()\n"
           "    return state\n\n\ndef read_bests"),
    Mutant("order ids are drawn, not derived", "domain/order.py",
           "    name = hashlib.blake2b(text.encode(), digest_size=10).hexdigest()\n",
           "    import os\n    name = os.urandom(10).hex()\n"),
    Mutant("an acknowledgement beats any status", "engine/orders.py",
           "or not may_follow(order.status, status):", "or False:"),
    Mutant("bookings missed in a partition are not asked for", "runtime/link.py",
           "            if page is None:\n", "            if True:\n"),
    Mutant("bookings are taken as they arrive", "runtime/link.py",
           "        if not booking.sequence:\n", "        if True:\n"),
    Mutant("deciding reads a clock", "engine/intake.py",
           "self.now: int = event.ts_ns",
           "self.now: int = __import__('time').time_ns()"),
    Mutant("fees are not booked", "engine/apply.py",
           "gain = fact.realised - event.fee", "gain = fact.realised"),
    Mutant("no transfer dedupe", "engine/engine.py",
           'if f"{event.account}/{event.name}" in state.trade_ids:', "if False:"),
    Mutant("a transfer counts as a gain of the day", "engine/apply.py",
           "    state.day_equity += fact.amount\n", ""),
    Mutant("a cancel is asked for once", "engine/reconcile.py",
           '("canceling", "working"): ask_again,', '("canceling", "working"): keep,'),
    Mutant("a line that broke closes nothing", "engine/reconcile.py",
           '    if event.state == "connected" and event.account in state.unreconciled:\n',
           '    if event.state == "lost" and not event.reason.startswith("no look"):\n'
           '        return []\n'
           '    if event.state == "connected" and event.account in state.unreconciled:\n'),
    Mutant("a line that broke and came back needs no look", "engine/reconcile.py",
           '    if event.state == "connected" and event.account in state.unreconciled:\n',
           '    if event.state != "connecting" and not event.reason.startswith("no look"):\n'),
    Mutant("an entry may leave however late", "runtime/gate.py",
           "order.created_ns + self.state.settings.intake.signal_age_ms_max * MS",
           "order.created_ns + 10**15"),
    Mutant("a price is never too old", "engine/checks.py",
           "    return (case.now - case.market.ts_ns) // MS\n\n\ndef data_age_max",
           "    return 0\n\n\ndef data_age_max"),
    Mutant("nothing unexplained freezes", "engine/look.py",
           'if freeze(state) == "noted" or', 'if True or freeze(state) == "noted" or'),
    Mutant("day loss and drawdown never trip", "engine/breaker.py",
           "        if equity <= floor:\n            trips.append",
           "        if False:\n            trips.append"),
    Mutant("a forced close trips nothing", "engine/breaker.py",
           "event.reason in state.trips or off:", "True or event.reason in state.trips or off:"),
    Mutant("a difference acts however briefly it stood", "engine/look.py",
           "not acted and stood_ns < least_ms * MS", "False"),
    Mutant("a fill between two looks changes nothing", "engine/look.py",
           "shaken = not acted and since_ns <= booked_ns", "shaken = False"),
    Mutant("a stop for a part counts as whole", "engine/protection.py",
           "(not x.quantity or x.quantity - x.filled >= position.quantity)", "True"),
    Mutant("a missing stop waits for 40 seconds", "engine/protection.py",
           "    if not look.waiting and left > ZERO:",
           "    since_ns = look.state.suspected_ns.get(key_of(look.account, leg), look.now_ns)\n"
           "    if look.now_ns - since_ns > 40_000_000_000 and left > ZERO:"),
    Mutant("a word of a stop's end is believed", "engine/orders.py",
           "(late or order.protective)", "late"),
    Mutant("a signal may be judged twice", "engine/engine.py",
           "if event.signal.id in state.seen:", "if False:"),
    Mutant("the last row is lost in recovery", "runtime/recover.py",
           "    for row in restored.rows:\n", "    for row in list(restored.rows)[:-1]:\n"),
    Mutant("anyone enters a place that is taken", "engine/checks.py",
           'return "" if not owner or owner == case.name else owner', 'return ""'),
    Mutant("a halt is written and does not stop", "engine/operator.py",
           'return "halted"', 'return "active"'),
    Mutant("a flatten forgets what fills after it", "engine/operator.py",
           "event.reason, flatten=True)", "event.reason, flatten=False)"),
    Mutant("a strategy that is stopped only pauses", "engine/operator.py",
           'f.StrategyChanged(name, "stopped", event.actor),',
           'f.StrategyChanged(name, "paused", event.actor),'),
    Mutant("a word to cancel all cancels nothing", "engine/operator.py",
           'return orders.cancel_entries(state, "operator")\n    if command == "flatten"',
           'return []\n    if command == "flatten"'),
    Mutant("a further attempt leaves without its stop", "engine/orders.py",
           "attempt=attempt, send_after_ns", "attempt=attempt, bracket=None, send_after_ns"),
    Mutant("exits wait for a stalled disk", "runtime/runner.py",
           "        if self.journal.durable_seq >= seq:\n            return\n        for command",
           "        if True:\n            return\n        for command"),
    Mutant("a halt denies exits", "engine/checks.py",
           'state of trading", halted, None, "none"),',
           'state of trading", halted, None, "none", True),'),
    Mutant("an account that is not reconciled denies exits", "engine/checks.py",
           'with its venue", unreconciled, None,\n          "none"),',
           'with its venue", unreconciled, None,\n          "none", True),'),
    Mutant("what a signal has closed is not remembered", "engine/targets.py",
           '    if order.reason != "signal" or order.account not in state.agreed:', "    if True:"),
    Mutant("an entry that a signal has closed rests on", "engine/targets.py",
           "        for name in target.entries:\n            entry =",
           "        for name in ():\n            entry ="),
    Mutant("the close of a part holds up the close of everything", "engine/checks.py",
           "alone = order.signal_id and order.account not in state.agreed", "alone = True"),
    Mutant("a trip of one strategy cancels the entries of all", "engine/breaker.py",
           'f"breaker {trip.condition}", trip.scope)', 'f"breaker {trip.condition}", "")'),
)  # fmt: skip

PROGRAM = f"""
import os, signal, sys
from cerberus_trader.simulation.world import simulate
def hung(*_):
    print(seed + 1, "it hung for {WAIT_S} s", sep="\\t", flush=True)
    os._exit(9)
signal.signal(signal.SIGALRM, hung)
for seed in range({RUNS}):
    signal.alarm({WAIT_S})
    try:
        found = simulate(seed).violations
    except Exception as error:
        found = (f"{{type(error).__name__}}: {{error}}",)
    if found:
        print(seed + 1, found[0][:110], sep="\\t")
        sys.exit(9)
"""


def mutate(folder: Path, mutant: Mutant) -> None:
    """Write a copy of the package with the mistake; raise `ValueError` where it does not fit."""
    target = folder / "cerberus_trader"
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("__pycache__"))
    path = target / mutant.file
    text = path.read_text()
    if text.count(mutant.before) != 1:
        raise ValueError(f"{mutant.name}: {mutant.file} has it {text.count(mutant.before)} times")
    path.write_text(text.replace(mutant.before, mutant.after))


def hunt(mutant: Mutant) -> tuple[bool, str]:
    """Simulate with the mistake; tell whether it was noticed, and after how many runs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mutate(folder, mutant)
        environ = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run([sys.executable, "-c", PROGRAM], env=environ, cwd=folder,
                              capture_output=True, text=True, check=False)  # fmt: skip
    if done.returncode == 9:
        return True, done.stdout.strip()
    if done.returncode:
        return True, "-\t" + (done.stderr.strip().splitlines() or ["it failed"])[-1][:110]
    return False, f"{RUNS}\tSURVIVED"


def main(names: list[str]) -> int:
    """Hunt all mutants, or those whose names hold one of the words."""
    chosen = [m for m in MUTANTS if not names or any(n in m.name for n in names)]
    killed = 0
    for mutant in chosen:
        dead, found = hunt(mutant)
        killed += dead
        runs, words = found.split("\t", 1)
        print(f"{'killed' if dead else 'ALIVE '}  {runs:>4} runs  {mutant.name:<48}  {words}")
        sys.stdout.flush()
    print(f"{killed} of {len(chosen)} mutants killed")
    return 0 if killed == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

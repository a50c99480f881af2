"""The commands run, status, explain, modify, and those that take a token.

They talk to a running engine through the control socket of its state folder. Exit codes: 0 ok,
1 failed, 2 bad input or configuration, 3 journal, 4 not running, silent or refused,
130 interrupted.
"""

import getpass
import json
import os
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cerberus_trader.control.commands_replay import Config, Json, Names, Profile, reported
from cerberus_trader.domain.errors import DataError

if TYPE_CHECKING:
    from cerberus_trader.runtime import frames

CODES = (
    "Exit codes: 0 ok, 1 failed, 2 bad input or configuration, 3 journal, 4 not running, silent or"
    " refused, 130 interrupted."
)
SENT = "the command may still be carried out: see `cerberus status`"
STATUS_S = 3.0
ID_BYTES = 5
PROCESS = "cerberus_trader.control.engine_process"

State = Annotated[Path, typer.Option("--state", help="The state folder of the engine.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is journalled.")]

Why = Annotated[str, typer.Option("--reason", help="Why it is safe to go on; journalled.")]
TokenText = Annotated[
    str,
    typer.Option("--token", envvar="CERBERUS_TOKEN",
                 help="A token of scope reset; - reads a line of standard input."),
]  # fmt: skip
Amount = Annotated[str, typer.Argument(help="In the account's currency.")]
Id = Annotated[
    str | None,
    typer.Option("--id", help="Names this move: repeated under one id it counts once. Else drawn,"
                 " and told where the outcome is not known."),
]  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (run, status, explain, modify):
        app.command(epilog=CODES)(command)
    app.command("reset-breaker", epilog=CODES)(reset_breaker)
    app.command(epilog=CODES)(thaw)
    app.command(epilog=CODES)(deposit)
    app.command(epilog=CODES)(withdraw)


def run(
    prices: Annotated[
        list[Path] | None,
        typer.Option("--prices", help="Play this price file; repeat it. Else standard input."),
    ] = None,
    instrument: Names = None,
    speed: Annotated[
        str, typer.Option("--speed", help="Seconds of the file per second, or max.")
    ] = "1",
    signals: Annotated[
        Path | None, typer.Option("--signals", help="Watch this folder for *.jsonl files.")
    ] = None,
    config: Config = None,
    profile: Profile = None,
    state: State = Path("state"),
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read standard input although it is a terminal.")
    ] = False,
    exit_at_end: Annotated[
        bool, typer.Option("--exit-at-end", help="Stop when the played files have ended.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Trade live on the paper venue, until stopped (Ctrl-C follows the shutdown policy)."""
    words = [sys.executable, "-m", PROCESS, "--state", str(state), "--speed", speed]
    for name, values in (("--prices", prices), ("--instrument", instrument)):
        for value in values or ():
            words += [name, str(value)]
    for name, single in (("--config", config), ("--profile", profile), ("--signals", signals)):
        if single is not None:
            words += [name, str(single)]
    words += ["--stdin"] * stdin + ["--exit-at-end"] * exit_at_end + ["--json"] * as_json
    # The engine gets a process of its own, without what the command line has imported.
    os.execv(sys.executable, words)


def status(state: State = Path("state"), as_json: Json = False) -> None:
    """Show account, positions, breaker and figures of a running engine."""
    with reported(as_json):
        from cerberus_trader.runtime import frames

        found = _ask(state, frames.Status(), STATUS_S)
        typer.echo(json.dumps(found, indent=2) if as_json else "\n".join(status_lines(found)))


def explain(
    decision: Annotated[
        str | None, typer.Argument(help="A decision's id, such as d17, or its signal's.")
    ] = None,
    last: Annotated[bool, typer.Option("--last", help="The last decision.")] = False,
    why_not: Annotated[
        bool, typer.Option("--why-not", help="Say what would have had to differ.")
    ] = False,
    state: State = Path("state"),
    as_json: Json = False,
) -> None:
    """Explain a decision, of a running engine or out of the journal of a stopped one."""
    with reported(as_json):
        if (decision is None) and not (last or why_not):
            raise DataError("no decision is named.", place="explain",
                            fix="give its id, or --last.")  # fmt: skip
        if decision is not None and last:
            raise DataError("an id and --last exclude each other.", place="explain",
                            fix="give one of both.")  # fmt: skip
        from cerberus_trader.runtime.decisions import explained

        found = explained(state, decision or "")
        if as_json:
            names = ("id", "verdict", "code", "why_not") if why_not else tuple(found)
            typer.echo(json.dumps({name: found[name] for name in names}, indent=2))
        else:
            typer.echo("\n".join(why_lines(found) if why_not else explain_lines(found)))


def modify(
    order: Annotated[str, typer.Argument(help="The id of a resting limit entry.")],
    price: Annotated[str | None, typer.Option("--price", help="Its new limit.")] = None,
    quantity: Annotated[str | None, typer.Option("--quantity", help="Its new quantity.")] = None,
    reason: Reason = "",
    state: State = Path("state"),
    as_json: Json = False,
) -> None:
    """Change the price of a resting entry, or make it smaller; never what it may cost."""
    with reported(as_json, SENT):
        from cerberus_trader.domain.money import parse_amount
        from cerberus_trader.runtime import frames

        wanted = parse_amount(price, place="--price") if price is not None else None
        size = parse_amount(quantity, place="--quantity") if quantity is not None else None
        request = frames.Operate("modify", actor(), reason, order, wanted, size)
        show("modify", _ask(state, request), as_json)


def reset_breaker(
    reason: Why, token: TokenText, state: State = Path("state"), as_json: Json = False
) -> None:
    """Release a tripped breaker onto probation: a token, a reason, after the cool-down."""
    _authorise("reset-breaker", token, reason, state, as_json)


def thaw(
    reason: Why, token: TokenText, state: State = Path("state"), as_json: Json = False
) -> None:
    """End a freeze, once you know what was not explained; a halt beneath it waits for `resume`."""
    _authorise("thaw", token, reason, state, as_json)


def deposit(
    amount: Amount, reason: Reason, token: TokenText, command_id: Id = None,
    state: State = Path("state"), as_json: Json = False,
) -> None:  # fmt: skip
    """Tell the paper account that money came in: no profit, and the limits move along."""
    _authorise("deposit", token, reason, state, as_json, amount, command_id)


def withdraw(
    amount: Amount, reason: Reason, token: TokenText, command_id: Id = None,
    state: State = Path("state"), as_json: Json = False,
) -> None:  # fmt: skip
    """Tell the paper account that money went out: no loss; at most what is free."""
    _authorise("withdraw", token, reason, state, as_json, amount, command_id)


def _authorise(
    command: str, token: str, reason: str, state: Path, as_json: bool, amount: str | None = None,
    command_id: str | None = None,
) -> None:  # fmt: skip
    """Give a command that needs a token; one that moves money has an id, given or drawn."""
    sent = SENT

    with reported(as_json, lambda: sent):
        from cerberus_trader.domain.money import parse_amount
        from cerberus_trader.runtime import frames

        value = parse_amount(amount, place="AMOUNT") if amount is not None else None
        if command_id is not None:
            frames.check_id(command_id)
        elif value is not None:
            command_id = secrets.token_hex(ID_BYTES)
        text = sys.stdin.readline().strip() if token == "-" else token
        request = frames.Authorise(
            command.replace("-", "_"), text, actor(), reason, value, command_id=command_id or ""
        )
        sent = f"{frames.again(request)}{SENT}"
        show(command, _ask(state, request), as_json)


def actor() -> str:
    """Name the person who gives a command, for the journal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def operate(command: str, state: Path, reason: str, as_json: bool) -> None:
    """Give a running engine a command, and show what came of it."""
    with reported(as_json, SENT):
        from cerberus_trader.runtime import frames

        show(command, _ask(state, frames.Operate(command, actor(), reason)), as_json)


def _ask(state: Path, request: "frames.Request", timeout_s: float | None = None) -> dict[str, Any]:
    from cerberus_trader.runtime import client

    return client.ask(state, request, timeout_s or client.TIMEOUT_S)


def show(command: str, found: dict[str, Any], as_json: bool) -> None:
    """Show what came of a command; trading that is active is not all where a breaker is open."""
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    if "done_ns" in found:
        done = datetime.fromtimestamp(found["done_ns"] / 1e9, UTC)
        return typer.echo(
            f"{command}: done already at {done:%Y-%m-%d %H:%M:%S} UTC (the engine's clock) under"
            f" the id {found['id']}; it counts once, and nothing was done again"
        )
    facts = ", ".join(found["facts"]) or "nothing to do"
    line = f"{command}: row {found['row']} ({facts}); trading is {found['trading']}"
    if found["trading"] == "active" and found.get("breaker"):
        line += (f", but the breaker still holds entries back ({', '.join(found['breaker'])}):"
                 " `cerberus reset-breaker --token … --reason …`")  # fmt: skip
    typer.echo(line)


def status_lines(found: dict[str, Any]) -> list[str]:
    """Write a status for people."""
    account, metrics = found["account"], found["metrics"]
    tripped = ", ".join(found["breaker"]) or "closed"
    times = metrics["decision_times"]
    flags = [name for name, is_set in found["flags"].items() if is_set]
    lines = [
        f"{found['phase']}: trading {found['trading']}, breaker {tripped}, row {found['row']},"
        f" pid {found['pid']}",
        f"equity {account['equity']} {account['currency']} (balance {account['balance']},"
        f" today {account['daily_pnl']}, margin {account['margin_used']})",
        f"signals {metrics['signals']}: approved {metrics['approved']}, denied"
        f" {sum(metrics['denied'].values())}, repeated {metrics['repeated']}, refused"
        f" {sum(metrics['refused'].values())}",
        f"trades {metrics['trades']} (won {metrics['successful_trades']}), decision"
        f" p50 {times['p50_us']} us, memory {found['memory_mb']['now']} MB",
    ]
    if flags:
        lines.insert(1, f"flags: {', '.join(flags)}")
    for account, why in found["unreconciled"].items():
        lines.insert(1, f"nothing new is opened on {account}: {why}")
    for item in found["positions"]:
        levels = ", ".join(
            f"{name} {item[name]}" for name in ("stop", "take_profit", "trailing", "liquidation")
            if item[name] is not None
        )  # fmt: skip
        tries = item["close_tries"]
        closing = f"; {item['to_close']} to close, sent again {tries} times" if tries else ""
        lines.append(
            f"{item['side']} {item['quantity']} {item['instrument']} at {item['entry_price']},"
            f" mark {item['mark']}, P&L {item['unrealised_pnl']}, {item['leverage']}x"
            f" ({levels}); {item['health']}{', stale' if item['stale'] else ''}"
            f"{closing}"
        )
    for code, count in sorted(metrics["denied"].items()):
        lines.append(f"denied {code}: {count}")
    if found["found"]:
        lines.append(f"start-up: {found['found']}")
    return lines


def explain_lines(found: dict[str, Any]) -> list[str]:
    """Write an explanation for people."""
    lines = [f"{found['id']} {found['strategy'] or '-'}: {found['sentence']}"]
    for check in found["checks"]:
        mark = "ok  " if check["passed"] else "FAIL"
        mark = mark if check["applied"] else "-   "
        value = " ".join(part for part in (check["value"], check["limit"]) if part)
        lines.append(f"  {mark} {check['code']:<28} {check['words']}: {value}".rstrip(": "))
    for title in ("leverage", "sizing"):
        if found[title]:
            lines.append(title)
        for row in found[title]:
            binding = "  <- binding" if row["binding"] else ""
            lines.append(f"  {row['name']}: {row['value']}{binding}")
    if found["leverage_sentence"]:
        lines.append(found["leverage_sentence"])
    for order in found["orders"]:
        told = f"order {order['id']}, attempt {order['attempt'] + 1}: {order['status']}"
        lines.append(f"{told}: {order['reason']}" if order["reason"] else told)
    return lines


def why_lines(found: dict[str, Any]) -> list[str]:
    """Write what would have had to differ."""
    if found["verdict"] == "approved":
        return [f"{found['id']} was approved: nothing had to differ."]
    return [f"{found['id']} was denied; what would have had to differ, nearest first:",
            *(f"  {line}" for line in found["why_not"])]  # fmt: skip

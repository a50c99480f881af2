"""The control socket: a Unix socket in the state folder, for its owner alone (mode 0600).

Every answer that follows from a row is given once the row is durable. A client that sends what
cannot be read gets one failure and is dropped; it never disturbs trading. Where too many are
connected, the one that has been silent the longest goes: nobody keeps a `flatten` out.
"""

import asyncio
import os
import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from cerberus_trader.domain.errors import UNREADABLE, CerberusError, DataError
from cerberus_trader.domain.events import OperatorEvent
from cerberus_trader.domain.facts import CommandRefused, CommandRepeated
from cerberus_trader.runtime import frames
from cerberus_trader.runtime.client import SOCKET_NAME, with_short_path
from cerberus_trader.runtime.decisions import explained
from cerberus_trader.runtime.inbox import Command, Outcome
from cerberus_trader.runtime.status import status_of
from cerberus_trader.runtime.trading import Trading

CLIENTS_MAX = 32
IDLE_S = 60.0
ANSWER_S = 15.0
READ_BYTES = 1 << 16
LATER = "see `cerberus status`; the command may still be carried out."
OPEN_COMMANDS = (
    "halt", "resume", "flatten", "cancel_all", "pause_strategy", "resume_strategy", "stop_strategy",
    "modify", "freeze",
)  # fmt: skip
TOKEN_COMMANDS = ("reset_breaker", "thaw", "deposit", "withdraw")

CheckToken = Callable[[str], str]


class Client:
    """Hold a connection: who serves it, since when it is silent, or waits for an answer."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.task = asyncio.current_task()
        self.busy = False
        self.since_s = 0.0
        self.turn(busy=False)

    def turn(self, *, busy: bool) -> None:
        """Note that it waits for an answer now, or that we wait for it."""
        self.busy, self.since_s = busy, time.monotonic()

    def drop(self) -> None:
        """Tell it that it has to go, and end what serves it."""
        error = DataError("too many clients: this one is dropped.", code="CLIENTS_MAX",
                          fix=LATER if self.busy else "try again.")  # fmt: skip
        with suppress(OSError):
            self.writer.write(frames.encode(failure(error)))
        if self.writer.transport.get_write_buffer_size():
            self.writer.transport.abort()  # it does not read: closing would wait for it for ever
        if self.task is not None:
            self.task.cancel()


class ControlServer:
    """Answer requests; `check_token` returns a token's id or raises `DataError`."""

    def __init__(
        self,
        folder: Path,
        trading: Trading,
        stop: Callable[[], None],
        check_token: CheckToken | None = None,
        prune: Callable[[str], None] | None = None,
    ) -> None:
        self.folder = folder
        self.trading = trading
        self.stop = stop
        self.check_token = check_token
        self.prune = prune
        self.clients: list[Client] = []

    async def run(self) -> None:
        """Serve until cancelled; the socket goes with it."""
        path = self.folder / SOCKET_NAME
        listening = listen(path)
        server = await asyncio.start_unix_server(self._serve, sock=listening)
        try:
            async with server:
                await server.serve_forever()
        finally:
            path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self.clients) >= CLIENTS_MAX:
            idle_first = min(self.clients, key=lambda one: (one.busy, one.since_s))
            self.clients.remove(idle_first)
            idle_first.drop()
        client = Client(writer)
        self.clients.append(client)
        try:
            await self._talk(reader, client)
        except DataError as error:
            with suppress(OSError):
                writer.write(frames.encode(failure(error)))
        except (OSError, TimeoutError):
            pass
        except asyncio.CancelledError:
            if client in self.clients:  # one that was dropped ends like any other
                raise
        finally:
            if client in self.clients:
                self.clients.remove(client)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, client: Client) -> None:
        decoder: frames.Decoder[frames.Request] = frames.Decoder(frames.Request)
        while True:
            client.turn(busy=False)
            data = await asyncio.wait_for(reader.read(READ_BYTES), IDLE_S)
            if not data:
                return
            client.turn(busy=True)
            for request in decoder.feed(data):
                client.writer.write(frames.encode(await self.answer(request)))
                await asyncio.wait_for(client.writer.drain(), ANSWER_S)

    async def answer(self, request: frames.Request) -> frames.Answer:
        """Carry out a request; every error of ours becomes a failure."""
        try:
            async with asyncio.timeout(ANSWER_S):
                frames.timely(request, time.time_ns())
                return await self._answer(frames.checked(request))
        except CerberusError as error:
            return failure(error)
        except TimeoutError:
            return frames.Failure("TIMEOUT", f"there was no answer in {ANSWER_S:g} s.", LATER)
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            return frames.Failure("OS_ERROR", f"{place}{error.strerror or error}.",
                                  "check the disk, and the rights to the folder.")  # fmt: skip
        except (sqlite3.Error, *UNREADABLE) as error:  # of a reader: the engine itself goes on
            return frames.Failure("FOLDER_UNREADABLE", f"{str(error)[:200]}.",
                                  "run `cerberus journal verify`, and rebuild-views.")  # fmt: skip

    async def _answer(self, request: frames.Request) -> frames.Answer:
        runner = self.trading.runner
        if isinstance(request, frames.Status):
            seq, data = runner.journal.last_seq, status_of(self.trading)
            await runner.durable(seq)
            return frames.Reply(seq, data)
        if isinstance(request, frames.Explain | frames.WhyNot):
            seq = runner.journal.last_seq
            await runner.durable(seq)
            data = await asyncio.to_thread(explained, self.folder, request.decision)
            if isinstance(request, frames.WhyNot):
                data = {name: data[name] for name in ("id", "verdict", "code", "why_not")}
            return frames.Reply(seq, data)
        if isinstance(request, frames.Shutdown):
            self.stop()
            return frames.Reply(runner.journal.last_seq, {"stopping": True})
        if isinstance(request, frames.Prune):
            if self.prune is not None:
                self.prune(request.actor)
            return frames.Reply(runner.journal.last_seq, {"pruning": self.prune is not None})
        if isinstance(request, frames.Authorise):
            return await self._authorised(request)
        if request.command not in OPEN_COMMANDS:
            raise unknown(request.command, OPEN_COMMANDS)
        command: Any = request.command
        return await self.operate(
            OperatorEvent(
                0,
                command,
                request.actor,
                request.reason,
                request.target,
                request.amount,
                request.price,
            )
        )

    async def _authorised(self, request: frames.Authorise) -> frames.Answer:
        if self.check_token is None:
            raise DataError("this engine has no tokens.", code="TOKEN_NONE",
                            fix="start it with `cerberus run`.")  # fmt: skip
        if request.command not in TOKEN_COMMANDS:
            raise unknown(request.command, TOKEN_COMMANDS)
        token_id = await asyncio.to_thread(self.check_token, request.token)
        frames.timely(request, time.time_ns())  # the token's file may be slow
        actor, command = f"{request.actor} (token {token_id})", request.command
        return await self.operate(
            OperatorEvent(
                0, command,  # type: ignore[arg-type]
                actor, request.reason, amount=request.amount, authorised=True,
                command_id=request.command_id,
            )
        )  # fmt: skip

    async def operate(self, event: OperatorEvent) -> frames.Answer:
        """Put a person's command through the engine, and answer once its row is durable."""
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.trading.runner.inbox.put_command(Command(event, done))
        outcome = await done
        for fact in outcome.facts:
            if isinstance(fact, CommandRefused):
                return frames.Failure("COMMAND_REFUSED", f"{fact.reason}.")
        data: dict[str, Any] = {
            "command": event.command,
            "row": outcome.seq,
            "trading": self.trading.state.trading,
            "breaker": list(self.trading.state.trips),
            "facts": [msgspec.to_builtins(fact)[0] for fact in outcome.facts],
        }
        if event.command_id:
            data["id"] = event.command_id
        for fact in outcome.facts:
            if isinstance(fact, CommandRepeated):
                data["done_ns"] = fact.ts_ns
        return frames.Reply(outcome.seq, data)


def unknown(command: str, known: tuple[str, ...]) -> DataError:
    """Make the error of a command that the socket does not know."""
    return DataError(
        f"{command[:40]!r} is no command of this socket.", code="COMMAND_UNKNOWN",
        fix=f"use one of {', '.join(known)}.",
    )  # fmt: skip


def failure(error: CerberusError) -> frames.Failure:
    """Turn an error into an answer."""
    place = f"{error.place}: " if error.place else ""
    return frames.Failure(error.code, f"{place}{error.message}", error.fix)


def listen(path: Path) -> socket.socket:
    """Bind the socket, readable and writable for its owner only; a left-over file is replaced.

    Only the holder of the folder's lock calls this, so that nobody's live socket is taken away.
    """
    path.unlink(missing_ok=True)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with_short_path(path, found.bind)
    except OSError:
        found.close()
        raise
    finally:
        os.umask(before)
    found.listen(CLIENTS_MAX)
    found.setblocking(False)
    return found

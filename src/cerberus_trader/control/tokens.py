"""Access tokens: created and shown once, kept as hashes in one file, checked in constant time.

A token reads `cbt_ID_SECRET` with 256 random bits, so that a plain SHA-256 of it is safe to keep.
The file tokens.json (mode 0600, in the state folder) is replaced atomically under a lock, so that
a single-use token is used once, whichever process asks.
"""

import fcntl
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from cerberus_trader.domain.errors import UNREADABLE, DataError
from cerberus_trader.journal.anchor import sync_folder

Role = Literal["viewer", "operator", "admin"]
Scope = Literal["all", "reset"]

ROLES: dict[str, int] = {"viewer": 0, "operator": 1, "admin": 2}
PREFIX = "cbt"
SECRET_BYTES = 32
ID_BYTES = 4
NS_PER_MS = 1_000_000
DAY_MS = 86_400_000
LIFE_MS_DEFAULT: dict[str, int] = {"all": 90 * DAY_MS, "reset": 600_000}
LIFE_MS_MIN, LIFE_MS_MAX = 1_000, 366 * DAY_MS
TOKENS_MAX = 1_000
LAST_USED_STEP_NS = 60_000 * NS_PER_MS
"""How stale `last_used_ns` may get, so that not every request writes the file."""
FILE_NAME = "tokens.json"
LISTED = "`cerberus token list` shows the ids."


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hold what is kept of a token; times are UTC nanoseconds, `hash` is hex SHA-256."""

    id: str
    role: Role
    scope: Scope
    hash: str
    created_ns: int
    expires_ns: int
    single_use: bool = False
    label: str = ""
    revoked_ns: int | None = None
    last_used_ns: int | None = None

    def status(self, now_ns: int) -> Literal["valid", "revoked", "used", "expired"]:
        """Say whether the token may still be used."""
        if self.revoked_ns is not None:
            return "revoked"
        if self.single_use and self.last_used_ns is not None:
            return "used"
        return "expired" if now_ns >= self.expires_ns else "valid"


class TokenStore:
    """Create, list, revoke and check the tokens of one state folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME

    def create(
        self,
        role: Role,
        *,
        now_ns: int,
        scope: Scope = "all",
        life_ms: int | None = None,
        single_use: bool | None = None,
        label: str = "",
    ) -> tuple[str, Token]:
        """Make a token and return its text, which is not kept, with what is kept.

        Scope `reset` is for resetting the breaker alone: admin only, single use and ten minutes
        of life unless said otherwise.
        """
        life = LIFE_MS_DEFAULT[scope] if life_ms is None else life_ms
        self._check_request(role, scope, life)
        with self._locked():
            tokens = self._read()
            alive = [token for token in tokens if token.status(now_ns) == "valid"]
            if len(alive) >= TOKENS_MAX:
                raise self._error("LIMIT", f"{TOKENS_MAX} tokens are valid.", "revoke some first.")
            token_id = self._new_id({token.id for token in tokens})
            text = f"{PREFIX}_{token_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
            token = Token(
                id=token_id,
                role=role,
                scope=scope,
                hash=_hash(text),
                created_ns=now_ns,
                expires_ns=now_ns + life * NS_PER_MS,
                single_use=scope == "reset" if single_use is None else single_use,
                label=label,
            )
            recent = [t for t in tokens if t.expires_ns > now_ns - 90 * DAY_MS * NS_PER_MS]
            self._write([*recent, token])
        return text, token

    def tokens(self) -> tuple[Token, ...]:
        """Return every token kept, the oldest first."""
        return tuple(self._read())

    def revoke(self, token_id: str, *, now_ns: int) -> Token:
        """Revoke a token by its id; revoking twice changes nothing."""
        with self._locked():
            tokens = self._read()
            found = next((t for t in tokens if t.id == token_id), None)
            if found is None:
                raise self._error("UNKNOWN", f"no token has the id {token_id!r}.", LISTED)
            if found.revoked_ns is None:
                found = msgspec.structs.replace(found, revoked_ns=now_ns)
                self._write([found if t.id == token_id else t for t in tokens])
        return found

    def revoke_all(self, *, now_ns: int) -> int:
        """Revoke every token that is not revoked; return how many there were."""
        with self._locked():
            tokens = self._read()
            count = sum(token.revoked_ns is None for token in tokens)
            if count:
                self._write([
                    token if token.revoked_ns is not None
                    else msgspec.structs.replace(token, revoked_ns=now_ns)
                    for token in tokens
                ])  # fmt: skip
        return count

    def check(self, text: str, *, role: Role, now_ns: int, scope: Scope = "all") -> Token:
        """Return the token if it is valid for the role and scope, else raise `DataError`.

        A token of scope `reset` serves for nothing else; one of scope `all` serves for a reset
        too. A single-use token is spent by this call.
        """
        token_id = text.split("_")[1] if text.count("_") >= 2 else ""
        with self._locked():
            tokens = self._read()
            found = next((t for t in tokens if t.id == token_id), None)
            # Compare also when the id is unknown: the time taken must not tell the two apart.
            same = hmac.compare_digest(_hash(text), found.hash if found else _hash(""))
            if found is None or not same:
                raise self._error("UNKNOWN", "the token is not known.")
            self._check_use(found, role, scope, now_ns)
            stale = now_ns - (found.last_used_ns or 0) >= LAST_USED_STEP_NS
            if found.single_use or stale:
                found = msgspec.structs.replace(found, last_used_ns=now_ns)
                self._write([found if t.id == found.id else t for t in tokens])
        return found

    def _check_request(self, role: Role, scope: Scope, life_ms: int) -> None:
        if role not in ROLES or scope not in LIFE_MS_DEFAULT:
            raise self._error("REQUEST", f"there is no role {role!r} or scope {scope!r}.")
        if scope == "reset" and role != "admin":
            raise self._error("ROLE", "only an admin's token may reset.", "use the role admin.")
        if not LIFE_MS_MIN <= life_ms <= LIFE_MS_MAX:
            said = f"life must be {LIFE_MS_MIN} to {LIFE_MS_MAX} ms, not {life_ms}."
            raise self._error("REQUEST", said)

    def _check_use(self, token: Token, role: Role, scope: Scope, now_ns: int) -> None:
        status = token.status(now_ns)
        if status != "valid":
            raise self._error(status.upper(), f"the token {token.id} is {status}.")
        if token.scope not in ("all", scope):
            raise self._error("SCOPE", f"the token {token.id} is for {token.scope} only.")
        if ROLES[token.role] < ROLES[role]:
            raise self._error("ROLE", f"this takes the role {role}; {token.id} is {token.role}.")

    def _error(
        self, condition: str, message: str, fix: str = "create one: cerberus token create"
    ) -> DataError:
        return DataError(message, code=f"TOKEN_{condition}", place=str(self.path), fix=fix)

    @staticmethod
    def _new_id(taken: set[str]) -> str:
        while (token_id := secrets.token_hex(ID_BYTES)) in taken:
            pass
        return token_id

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock file, so that two processes do not overwrite each other's tokens."""
        with self._writable():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with self._writable():
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _read(self) -> list[Token]:
        try:
            mode = self.path.stat().st_mode
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._error("FILE", f"cannot be read: {error.strerror}.", "") from None
        if stat.S_IMODE(mode) & 0o077:
            raise self._error("FILE", "others may read the tokens.", f"chmod 600 {self.path}")
        try:
            return msgspec.json.decode(raw, type=list[Token])
        except UNREADABLE as error:
            fix = "restore the file, or delete it and create new tokens."
            raise self._error("FILE", f"is damaged: {error}.", fix) from None

    @contextmanager
    def _writable(self) -> Iterator[None]:
        """Turn what the disk refuses into an error that names the file."""
        try:
            yield
        except OSError as error:
            fix = "make room, or mend the rights to the folder."
            raise self._error(
                "FILE", f"cannot be written: {error.strerror or error}.", fix
            ) from None

    def _write(self, tokens: list[Token]) -> None:
        """Replace the file: written and synced beside it first, then renamed."""
        temporary = self.path.with_suffix(".tmp")
        with self._writable():
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(tokens)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
            sync_folder(self.path.parent)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()

"""Tokens: shown once, kept as hashes, bound to role, scope, time and use."""

import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cerberus_trader.control.tokens import DAY_MS, NS_PER_MS, Role, TokenStore
from cerberus_trader.domain.errors import DataError

NOW = 1_700_000_000_000_000_000
MINUTE = 60_000 * NS_PER_MS


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path / "state")


def refused(store: TokenStore, text: str, role: Role = "viewer", at: int = NOW) -> str:
    with pytest.raises(DataError) as caught:
        store.check(text, role=role, now_ns=at)
    assert text not in str(caught.value) or not text
    return caught.value.code


def test_a_token_is_shown_once_and_kept_as_a_hash(store: TokenStore) -> None:
    text, token = store.create("operator", now_ns=NOW, label="desk")
    raw = store.path.read_text(encoding="utf-8")
    secret = text.split("_", 2)[2]
    assert len(secret) >= 43 and secret not in raw and text not in raw
    assert hashlib.sha256(text.encode()).hexdigest() in raw
    assert store.tokens() == (token,) and token.label == "desk"
    assert text.startswith(f"cbt_{token.id}_")
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_a_valid_token_is_accepted_and_its_use_noted(store: TokenStore) -> None:
    text, token = store.create("operator", now_ns=NOW)
    assert store.check(text, role="operator", now_ns=NOW).id == token.id
    assert store.tokens()[0].last_used_ns == NOW
    store.check(text, role="viewer", now_ns=NOW + 1)
    assert store.tokens()[0].last_used_ns == NOW
    store.check(text, role="viewer", now_ns=NOW + MINUTE)
    assert store.tokens()[0].last_used_ns == NOW + MINUTE


@pytest.mark.parametrize("text", ["", "zzzz", "cbt_00000000_abc", "cbt__", "_" * 50, "\ud800"])
def test_an_unknown_token_is_refused(store: TokenStore, text: str) -> None:
    store.create("admin", now_ns=NOW)
    assert refused(store, text) == "TOKEN_UNKNOWN"


def test_a_known_id_with_a_wrong_secret_is_refused(store: TokenStore) -> None:
    text, _ = store.create("admin", now_ns=NOW)
    assert refused(store, text[:-1] + ("A" if text[-1] != "A" else "B")) == "TOKEN_UNKNOWN"


@pytest.mark.parametrize(
    ("has", "needs", "ok"),
    [
        ("viewer", "viewer", True),
        ("viewer", "operator", False),
        ("operator", "viewer", True),
        ("operator", "admin", False),
        ("admin", "operator", True),
    ],
)
def test_roles_are_ordered(store: TokenStore, has: Role, needs: Role, ok: bool) -> None:
    text, _ = store.create(has, now_ns=NOW)
    if ok:
        assert store.check(text, role=needs, now_ns=NOW).role == has
    else:
        assert refused(store, text, needs) == "TOKEN_ROLE"


def test_a_token_expires(store: TokenStore) -> None:
    text, token = store.create("viewer", now_ns=NOW, life_ms=60_000)
    assert token.expires_ns == NOW + MINUTE
    store.check(text, role="viewer", now_ns=NOW + MINUTE - 1)
    assert refused(store, text, at=NOW + MINUTE) == "TOKEN_EXPIRED"
    assert token.status(NOW + MINUTE) == "expired"


def test_a_revoked_token_is_refused_for_good(store: TokenStore) -> None:
    text, token = store.create("viewer", now_ns=NOW)
    assert store.revoke(token.id, now_ns=NOW + 5).revoked_ns == NOW + 5
    assert store.revoke(token.id, now_ns=NOW + 9).revoked_ns == NOW + 5
    assert refused(store, text) == "TOKEN_REVOKED"
    with pytest.raises(DataError, match="no token has the id"):
        store.revoke("ffffffff", now_ns=NOW)


def test_a_reset_token_lives_ten_minutes_and_is_used_once(store: TokenStore) -> None:
    text, token = store.create("admin", now_ns=NOW, scope="reset")
    assert token.expires_ns == NOW + 10 * MINUTE and token.single_use
    assert refused(store, text) == "TOKEN_SCOPE"
    assert store.check(text, role="admin", scope="reset", now_ns=NOW).id == token.id
    with pytest.raises(DataError, match="used"):
        store.check(text, role="admin", scope="reset", now_ns=NOW)
    everything, _ = store.create("admin", now_ns=NOW)
    assert store.check(everything, role="admin", scope="reset", now_ns=NOW)


def test_a_single_use_token_is_used_once_among_many_at_once(store: TokenStore) -> None:
    text, _ = store.create("admin", now_ns=NOW, scope="reset")

    def use(_: int) -> bool:
        try:
            TokenStore(store.path.parent).check(text, role="admin", scope="reset", now_ns=NOW)
        except DataError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(use, range(24))) == 1


def test_requests_out_of_range_are_refused(store: TokenStore) -> None:
    for life in (0, 367 * DAY_MS):
        with pytest.raises(DataError, match="life"):
            store.create("viewer", now_ns=NOW, life_ms=life)
    with pytest.raises(DataError, match="admin"):
        store.create("operator", now_ns=NOW, scope="reset")
    with pytest.raises(DataError, match="no role"):
        store.create("king", now_ns=NOW)  # type: ignore[arg-type]
    assert store.tokens() == ()


def test_a_damaged_or_open_file_is_refused(store: TokenStore) -> None:
    text, _ = store.create("viewer", now_ns=NOW)
    store.path.chmod(0o644)
    assert refused(store, text) == "TOKEN_FILE"
    store.path.chmod(0o600)
    store.path.write_text('[{"id": 5}]', encoding="utf-8")
    with pytest.raises(DataError, match=r"damaged.*restore the file"):
        store.tokens()


def test_long_expired_tokens_are_forgotten(store: TokenStore) -> None:
    store.create("viewer", now_ns=NOW, life_ms=1_000)
    later = NOW + 91 * DAY_MS * NS_PER_MS
    _, kept = store.create("viewer", now_ns=later)
    assert store.tokens() == (kept,)


def test_all_tokens_are_revoked_at_once_and_the_file_is_left_alone_where_there_are_none(
    store: TokenStore,
) -> None:
    assert store.revoke_all(now_ns=NOW) == 0 and not store.path.exists()
    texts = [store.create("admin", now_ns=NOW)[0] for _ in range(3)]
    store.revoke(store.tokens()[0].id, now_ns=NOW)
    assert store.revoke_all(now_ns=NOW + 5) == 2
    assert [token.revoked_ns for token in store.tokens()] == [NOW, NOW + 5, NOW + 5]
    assert {refused(store, text, "admin") for text in texts} == {"TOKEN_REVOKED"}
    assert store.revoke_all(now_ns=NOW + 9) == 0
    text, _ = store.create("admin", now_ns=NOW)
    assert store.check(text, role="admin", now_ns=NOW).role == "admin"


@pytest.mark.parametrize("name", ["tokens.lock", "tokens.tmp"])
def test_a_file_that_cannot_be_written_is_named_with_what_to_do(
    store: TokenStore, name: str
) -> None:
    text, _ = store.create("admin", now_ns=NOW, scope="reset")
    (store.path.parent / name).unlink(missing_ok=True)
    (store.path.parent / name).mkdir()
    for act in (
        lambda: store.check(text, role="admin", scope="reset", now_ns=NOW),
        lambda: store.create("viewer", now_ns=NOW),
        lambda: store.revoke_all(now_ns=NOW),
    ):
        with pytest.raises(DataError, match=r"cannot be written: .+\. Fix: make room") as caught:
            act()
        assert (caught.value.code, caught.value.place) == ("TOKEN_FILE", str(store.path))
    (store.path.parent / name).rmdir()
    assert store.check(text, role="admin", scope="reset", now_ns=NOW), "it was not spent"

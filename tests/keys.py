"""Quick keys for tests: the cheapest allowed derivation, each key derived once."""

from functools import partial

import pytest

from cerberus_trader.journal import backup
from cerberus_trader.security import envelope
from cerberus_trader.security.envelope import COST_MIN, Cost, EnvelopeWriter
from cerberus_trader.security.passphrase import Passphrase


def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Derive each key once, and write backups at the lowest cost."""
    derive, known = envelope._derive, dict[tuple[bytes, bytes, Cost], bytes]()

    def remembered(words: Passphrase, salt: bytes, cost: Cost) -> bytearray:
        key = (bytes(words.buffer), salt, cost)
        if key not in known:
            known[key] = bytes(derive(words, salt, cost))
        return bytearray(known[key])

    monkeypatch.setattr(envelope, "_derive", remembered)
    monkeypatch.setattr(backup, "EnvelopeWriter", partial(EnvelopeWriter, cost=COST_MIN))

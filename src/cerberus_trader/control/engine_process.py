"""The engine's process as `cerberus run` starts it: the runtime with the folder's tokens."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cerberus_trader.control.tokens import TokenStore
from cerberus_trader.runtime.main import main


def reset_tokens(folder: Path) -> Callable[[str], str]:
    """Return the check of tokens that may reset the breaker: it gives the token's id."""
    store = TokenStore(folder)

    def check(text: str) -> str:
        return store.check(text, role="admin", now_ns=time.time_ns(), scope="reset").id

    return check


if __name__ == "__main__":
    os.umask(0o077)  # what an account holds is nobody else's to read
    sys.exit(main(tokens=reset_tokens))

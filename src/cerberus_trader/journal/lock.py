"""One engine per journal folder: an exclusive lock that names its holder."""

import fcntl
import os
from pathlib import Path

from cerberus_trader.domain.errors import JournalError

LOCK_NAME = "journal.lock"


def holder(folder: Path, name: str = LOCK_NAME) -> int | None:
    """Return the process that holds a folder, None where nobody does."""
    try:
        fd = os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(fd, 32, 0).decode(errors="replace").strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(fd)
    return None


class FolderLock:
    """Hold a folder exclusively until `release`, or until the process ends in any way.

    Raises `JournalError` naming the holder's process id when another engine has the folder.
    """

    def __init__(
        self, folder: Path, name: str = LOCK_NAME, held: str = "the journal is in use"
    ) -> None:
        path = folder / name
        # The lock belongs to the open file, so it also keeps out a second engine in this process.
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._fd)
            raise JournalError(
                f"{held} by process {holder}.",
                code="JOURNAL_LOCKED",
                place=str(folder),
                fix="stop that process, or name another journal folder.",
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the folder up; the file stays, because removing it would race with a newcomer."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

"""Parquet files, read in a process of its own: a damaged one can abort the library that reads it.

The child turns every column into an array and writes it to a file, which the parent maps.
"""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from cerberus_trader.domain.errors import DataError

WORDS_MAX = 200
INSTALL = "install it beside Cerberus: .tools/bin/uv pip install --python .venv polars."
NAMES = "names.json"


def read_columns(path: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, int]]:
    """Return the columns (times, numbers, else texts), and the first row without a value of some.

    Rows count from 1; a column that lacks a value is empty. Raises `DataError` where the library
    is missing, cannot read the file, or ends over it.
    """
    if find_spec("polars") is None:
        raise DataError("Parquet needs the library polars.", code="DATA_FILE", fix=INSTALL)
    path.open("rb").close()  # a file that is missing says so itself
    with TemporaryDirectory() as name:
        command = [sys.executable, "-m", __name__, str(path), name]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode:
            words = done.stderr.decode(errors="replace").strip().rpartition("\n")[2][:WORDS_MAX]
            how = f"signal {-done.returncode}" if done.returncode < 0 else words
            raise DataError(f"the file is no readable Parquet ({how}).", code="DATA_FILE",
                            fix="fetch or write it again.")  # fmt: skip
        folder, columns, missing = Path(name), {}, {}
        for at, (column, row) in enumerate(json.loads((folder / NAMES).read_bytes())):
            values = folder / f"{at}.npy"
            some = values.exists()
            columns[column] = np.asarray(np.load(values, mmap_mode="r")) if some else np.zeros(0)
            if row:
                missing[column] = row
    return columns, missing


def convert(path: Path, folder: Path) -> None:
    """Read a file in the child, and write its columns; whatever is raised ends the child."""
    import resource

    import polars as pl

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    found: list[tuple[str, int]] = []
    for column in pl.read_parquet(path).get_columns():
        nulls = column.null_count()
        at, row = len(found), int(column.is_null().to_numpy().argmax()) + 1 if nulls else 0
        found.append((column.name, row))
        if nulls or not len(column):
            continue
        if column.dtype.is_temporal():
            values: npt.NDArray[Any] = column.dt.epoch("ns").to_numpy().view("datetime64[ns]")
        elif column.dtype.is_numeric() and not column.dtype.is_decimal():
            values = column.to_numpy()
        else:
            values = np.array(column.cast(pl.String).to_list())
        np.save(folder / f"{at}.npy", values, allow_pickle=False)
    (folder / NAMES).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))

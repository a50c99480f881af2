"""NPZ files whose columns are mapped into memory instead of copied.

A mapped column costs no copy, and processes that replay the same file share its pages. Only
files of our own writer are mapped, told by their padding: it aligns every array, and replaces a
file instead of rewriting it, as who rewrites a mapped file kills its readers. Files of others
are copied. Checksums are verified either way.
"""

import io
import mmap
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ALIGNMENT = 64
LOCAL_HEADER = 30
HEADER_MAX = 4096  # more than any header of a plain array
PADDING_ID = b"\x35\xd9"  # the extra field that zip tools know as alignment padding


def load_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Load every array of an NPZ file; raise `BadZipFile` if one is damaged.

    Raises `ValueError` where a member is no plain array.
    """
    with path.open("rb") as raw, zipfile.ZipFile(raw) as file:
        data = memoryview(mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ))
        arrays = {}
        for member in file.infolist():
            mapped = _map(data, member)
            if mapped is None:
                with file.open(member) as stream:
                    mapped = np.lib.format.read_array(stream, allow_pickle=False)
            arrays[member.filename.removesuffix(".npy")] = mapped
        return arrays


def _map(data: memoryview, member: zipfile.ZipInfo) -> npt.NDArray[Any] | None:
    """Map one member that our writer stored; None for those of others."""
    if member.compress_type != zipfile.ZIP_STORED or member.extra[:2] != PADDING_ID:
        return None
    names, extra = struct.unpack_from("<26xHH", data, member.header_offset)
    start = member.header_offset + LOCAL_HEADER + names + extra
    whole = data[start : start + member.file_size]
    header = io.BytesIO(whole[:HEADER_MAX])
    if np.lib.format.read_magic(header) != (1, 0):
        return None
    shape, _, dtype = np.lib.format.read_array_header_1_0(header)
    begin = header.tell()
    if dtype.hasobject or len(shape) != 1 or not shape[0] or (start + begin) % dtype.alignment:
        return None
    if begin + shape[0] * dtype.itemsize != len(whole) or zlib.crc32(whole) != member.CRC:
        raise zipfile.BadZipFile(f"{member.filename} is damaged")
    return np.frombuffer(whole, dtype, shape[0], begin)


def save_arrays(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    """Write arrays so that `load_arrays` can map them; the file appears whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as file:
            for name, values in arrays.items():
                member = zipfile.ZipInfo(f"{name}.npy")
                member.file_size = values.nbytes + 2 * ALIGNMENT
                used = file.fp.tell() if file.fp else 0
                pad = -(used + LOCAL_HEADER + len(member.filename) + 4) % ALIGNMENT
                member.extra = PADDING_ID + struct.pack("<H", pad) + bytes(pad)
                with file.open(member, "w") as stream:
                    np.lib.format.write_array(stream, values, version=(1, 0), allow_pickle=False)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)

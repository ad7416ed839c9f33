"""Files of named arrays (``.npz``): numbers are read from them, and nothing is executed."""

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.bad_input import describe

_SUSPICIOUS_BYTES = 1 << 28
_SUSPICIOUS_RATIO = 200
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_SUFFIX = ".npy"


def read_named_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read all arrays of a ``.npz``; every size is checked before it is believed.

    Parameters
    ----------
    path : Path
        File, as `numpy.savez` and `numpy.savez_compressed` write it.

    Raises
    ------
    MudrockError
        If it is no whole file of numbers, holds something else beside them (a pickle), or unfolds
        beyond reason.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise MudrockError(f"{path}: cannot be read (not a file)")
        with zipfile.ZipFile(path) as archive:
            _check_size(path, archive)
            return {
                info.filename.removesuffix(_SUFFIX): _read_member(archive, info)
                for info in archive.infolist()
            }
    except MudrockError:
        raise
    except OSError as error:
        raise MudrockError(f"{path}: cannot be read ({describe(error)})") from error
    except Exception as error:  # zip, zlib and NumPy raise many kinds on damage
        raise MudrockError(f"{path}: no whole file of named arrays ({describe(error)})") from error


def _check_size(path: Path, archive: zipfile.ZipFile) -> None:
    promised = sum(info.file_size for info in archive.infolist())
    stored = path.stat().st_size
    if promised > _SUSPICIOUS_BYTES and promised > _SUSPICIOUS_RATIO * stored:
        raise MudrockError(
            f"{path}: {stored / 1e6:.1f} MB promise {promised / 1e6:.0f} MB; this looks like a bomb"
        )
    names = [info.filename for info in archive.infolist()]
    if len(set(names)) < len(names):
        raise ValueError("two arrays of one name")


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> npt.NDArray[Any]:
    """Return one array; its header must promise exactly the bytes that the archive holds."""
    if not info.filename.endswith(_SUFFIX) or info.compress_type not in _METHODS:
        raise ValueError(f"{info.filename[:60]} is no array")
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        if version == (1, 0):
            shape, by_column, kind = np.lib.format.read_array_header_1_0(member)
        elif version == (2, 0):
            shape, by_column, kind = np.lib.format.read_array_header_2_0(member)
        else:
            raise ValueError(f"{info.filename[:60]} is of version {version}")
        if kind.kind not in "biuf":
            raise ValueError(f"{info.filename[:60]} holds {kind}, no numbers")
        promised = math.prod(shape) * kind.itemsize
        if min(shape, default=0) < 0 or promised != info.file_size - member.tell():
            raise ValueError(f"{info.filename[:60]} promises {promised} bytes")
        values = np.frombuffer(member.read(promised), kind).copy()  # backends want to write
    return values.reshape(shape, order="F" if by_column else "C")

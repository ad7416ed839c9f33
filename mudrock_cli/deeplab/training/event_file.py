"""TensorBoard's event files: records of protocol buffers, each with two checksums.

Written here in fifty lines, because TensorFlow's writer comes with TensorFlow only, and a
training may run on another backend.
"""

import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path

from mudrock_cli.errors import MudrockError


class EventFile:
    """Appends scalars to an event file of its own in a folder.

    Parameters
    ----------
    folder : Path
        TensorBoard's ``--logdir``, or below it. Made when the first scalars come.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"events.out.tfevents.{time.time():.0f}.{os.getpid()}"

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Append an event of named scalars.

        Raises
        ------
        MudrockError
            If the file cannot be written.
        """
        events = []
        if not self._path.exists():
            events.append(_event(0, _bytes_field(3, b"brain.Event:2")))  # file_version
        values = b"".join(
            _bytes_field(1, _bytes_field(1, name.encode()) + b"\x15" + struct.pack("<f", value))
            for name, value in scalars.items()  # Value: tag = 1, simple_value = 2
        )
        events.append(_event(step, _bytes_field(5, values)))  # summary
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(b"".join(_record(event) for event in events))
        except OSError as error:
            reason = error.strerror or str(error)
            raise MudrockError(f"{self._path}: cannot be written ({reason})") from error


def _event(step: int, content: bytes) -> bytes:
    """Return an Event: wall_time = 1 (double), step = 2 (integer), then its content."""
    return b"\x09" + struct.pack("<d", time.time()) + b"\x10" + _varint(step) + content


def _bytes_field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Return an integer in groups of seven bits, the lowest first."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def _record(content: bytes) -> bytes:
    """Return a TFRecord: length, its checksum, content, its checksum."""
    length = struct.pack("<Q", len(content))
    return length + _checksum(length) + content + _checksum(content)


def _checksum(content: bytes) -> bytes:
    """Return TFRecord's masked CRC-32C (Castagnoli's polynomial)."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    rotated = (crc >> 15 | crc << 17) + 0xA282EAD8
    return struct.pack("<I", rotated & 0xFFFFFFFF)


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_TABLE = [_crc_of(byte) for byte in range(256)]

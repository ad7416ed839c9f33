"""Ways to break a valid file, each seeded: random damage, and lies that know the format."""

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from hostile_seeds import Seed

Rng = np.random.Generator
Data = bytearray

_ENCODINGS = ("utf-16", "utf-16-be", "utf-32", "cp500", "utf-7", "shift-jis", "koi8-r")


def recode(data: Data, rng: Rng, spared: list[tuple[int, int]]) -> bytes:
    """Write a text in another encoding, often without its mark, or as bytes of two."""
    text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "cp1252")
    raw = text.encode(str(rng.choice(_ENCODINGS)), "replace")
    if rng.random() < 0.3:
        raw = raw[int(rng.integers(1, 4)) :]
    return raw if rng.random() < 0.7 else raw + text.encode("utf-16-le")


def lie_in_text(data: Data, rng: Rng, spared: list[tuple[int, int]]) -> bytes:
    """Replace a line's value by one that is none."""
    lies = [b"", b"NaN", b"-1", b"0", b"1e999", b"9" * 400, b"9" * 5000, b"0x10", b"[" * 3000,
            b'"', b"{}", b"true", b"1979-05-27", b"\xff\xfe", b"\0", b"1e-400 nm"]  # fmt: skip
    lines = bytes(data).split(b"\n")
    open_lines = []
    at = 0
    for number, line in enumerate(lines):
        if not any(low < at + len(line) and at < high for low, high in spared):
            open_lines.append(number)
        at += len(line) + 1
    if open_lines:
        number = int(rng.choice(open_lines))
        for sign in (b"=", b":", b",", b" "):
            if sign in lines[number]:
                key = lines[number].split(sign, 1)[0]
                lines[number] = key + sign + lies[rng.integers(len(lies))]
                break
    return b"\n".join(lines)


def lie_in_json(data: Data, rng: Rng, spared: list[tuple[int, int]]) -> bytes:
    """Give an entry somewhere another value, or another name."""
    lies = [None, True, -1, 0, 1, 1 << 31, 1 << 62, 10**400, 0.5, "", "../..", "x", [], [1], {}]
    root = json.loads(data)
    node, parents = root, []
    while isinstance(node, dict | list) and node:
        keys = sorted(node) if isinstance(node, dict) else range(len(node))
        key = keys[int(rng.integers(len(keys)))]
        if key in ("scale", "unit", "pixel_size_nm", "coordinateTransformations"):
            break  # another size is an honest one
        parents.append((node, key))
        node = node[key]
        if rng.random() < 0.1:
            break
    if parents:
        node, key = parents[-1]
        if isinstance(node, dict) and rng.random() < 0.3:
            node[f"{key}x"] = node.pop(key)
        else:
            node[key] = lies[rng.integers(len(lies))]
    return json.dumps(root, indent=1).encode()


def repeat_text(data: Data, rng: Rng, spared: list[tuple[int, int]]) -> bytes:
    """Write a text many times over."""
    times = int(rng.choice([2, 100, 10_000]))
    return bytes(data) * min(times, 3_000_000 // max(1, len(data)))


Rng = np.random.Generator
Data = bytearray
Break = Callable[[Data, Rng, list[tuple[int, int]]], bytes | bytearray]

NASTY = (0, 1, 2, 3, 7, 8, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)


@dataclass(frozen=True)
class Case:
    """A broken input.

    Parameters
    ----------
    seed : Seed
        What is opened; its files are broken.
    how : str
        Name of the break.
    sizes : tuple of float or None
        Pixel sizes that may be read: the true one, or none.
    """

    seed: Seed
    how: str
    sizes: tuple[float | None, ...]


def break_seed(seed: Seed, rng: Rng) -> Case:
    """Break one file of a seed in one way."""
    name = str(rng.choice(sorted(seed.files)))
    ways = _ways(name, seed.files[name])
    how = str(rng.choice(sorted(ways)))
    broken = bytes(ways[how](bytearray(seed.files[name]), rng, seed.spared(name)))
    files = {**seed.files, name: broken}
    return Case(replace(seed, files=files), f"{how} in {name}", (seed.nm, None))


def _ways(name: str, data: bytes) -> dict[str, Break]:
    """Return the breaks that make sense for a file."""
    ways: dict[str, Break] = {
        "cut": cut, "flips": flip, "flips in the head": flip_head, "block": fill_block,
        "hole": remove_bytes, "inset": insert_bytes, "tail": add_tail, "nothing left": keep_little,
    }  # fmt: skip
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        ways |= {"tag": lie_in_tag, "tags": lie_in_tags, "next page": lie_in_next}
    if data.startswith(b"\x89PNG"):
        ways |= {"header": lie_in_png_header, "chunk": lie_in_png_chunk}
    if data.startswith(b"PAR1"):
        ways |= {"footer": flip_tail}
    if name.endswith((".json", ".zattrs", ".zarray")):
        ways |= {"entry": lie_in_json, "entries": lie_in_json}
    if name.endswith((".txt", ".hdr", ".toml", ".json", ".csv", ".zattrs", ".zarray")):
        ways |= {"encoding": recode, "value": lie_in_text, "repeat": repeat_text}
    return ways


def _free(data: Data, rng: Rng, spared: list[tuple[int, int]], end: int) -> int | None:
    """Return a random position before `end` outside the spared spans."""
    for _ in range(50):
        at = int(rng.integers(max(1, min(end, len(data)))))
        if not any(low <= at < high for low, high in spared):
            return at
    return None


def cut(data: Data, rng: Rng, spared: list[tuple[int, int]]) -> Data:
    """Cut the end off: at random, or a little."""
    keep = rng.integers(len(data)) if rng.random() < 0.6 else len(data) - rng.integers(1, 60)
    return data[: max(0, int(keep))]


def keep_little(data: Data, rng: Rng, spared: list[tuple[int, int]]) -> Data:
    """Keep the first bytes only."""
    return data[: rng.integers(0, 40)]


def flip(data: Data, rng: Rng, spared: list[tuple[int, int]], end: int = 1 << 30) -> Data:
    """Change some bytes."""
    for _ in range(rng.integers(1, 9)):
        at = _free(data, rng, spared, end)
        if at is not None and data:
            bit = 1 << int(rng.integers(8))
            data[at] = rng.choice([data[at] ^ bit, 0, 255, rng.integers(256)])
    return data


def flip_head(data: Data, rng: Rng, spared: list[tuple[int, int]]) -> Data:
    """Change some of the first bytes."""
    return flip(data, rng, spared, 300)


def flip_tail(data: Data, rng: Rng, spared: list[tuple[int, int]]) -> Data:
    """Change some of the last bytes, where Parquet has its directory."""
    tail = flip(data[-4000:], rng, [])
    return data[:-4000] + tail


def fill_block(data: Data, rng: Rng, spared: list[tuple[int, int]]) -> Data:
    """Overwrite a block by zeros or ones."""
    at = _free(data, rng, spared, 1 << 30) or 0
    after = [low for low, _ in spared if low > at]
    length = min(int(rng.integers(1, 2000)), len(data) - at, min(after, default=1 << 30) - at)
    data[at : at + length] = bytes([rng.choice([0, 255])]) * length
    return data


def remove_bytes(data: Data, rng: Rng, spared: list[tuple[int, int]]) -> Data:
    """Remove some bytes, so that all offsets behind them lie."""
    at = _free(data, rng, spared, 1 << 30) or 0
    length = min([int(rng.integers(1, 50)), *(low - at for low, _ in spared if low > at)])
    del data[at : at + length]
    return data


def insert_bytes(data: Data, rng: Rng, spared: list[tuple[int, int]]) -> Data:
    """Insert some bytes."""
    at = _free(data, rng, spared, 1 << 30) or 0
    data[at:at] = rng.bytes(int(rng.integers(1, 50)))
    return data


def add_tail(data: Data, rng: Rng, spared: list[tuple[int, int]]) -> Data:
    """Append rubbish."""
    return data + rng.bytes(int(rng.integers(1, 5000)))


def _directory(data: Data) -> tuple[str, bool, int, int] | None:
    """Return byte order, whether BigTIFF, offset of the first directory's entries, their count."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    at = struct.unpack_from(f"{order}Q", data, 8)[0] if big else 0
    at = at or struct.unpack_from(f"{order}I", data, 4)[0]
    width = 8 if big else 2
    if at + width > len(data):
        return None
    count = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, at)[0]
    return order, big, at + width, min(count, 200)


def lie_in_tag(data: Data, rng: Rng, spared: list[tuple[int, int]]) -> Data:
    """Give a tag another code, type, count or value."""
    found = _directory(data)
    if found is None or not found[3]:
        return data
    order, big, start, count = found
    size = 20 if big else 12
    at = start + size * int(rng.integers(count))
    wide = "Q" if big else "I"
    layout = [(0, "H"), (2, "H"), (4, wide), (12 if big else 8, wide)]
    offset, kind = layout[rng.integers(4)]
    value = int(rng.choice([*NASTY, at, len(data) - 1, len(data), rng.integers(1 << 16)]))
    if at + size <= len(data):
        mask = 0xFFFF if kind == "H" else 0xFFFFFFFF
        struct.pack_into(f"{order}{kind}", data, at + offset, value & mask)
    return data


def lie_in_tags(data: Data, rng: Rng, spared: list[tuple[int, int]]) -> Data:
    """Lie in several tags at once."""
    for _ in range(rng.integers(2, 6)):
        data = lie_in_tag(data, rng, spared)
    return data


def lie_in_next(data: Data, rng: Rng, spared: list[tuple[int, int]]) -> Data:
    """Let the directory's next one be itself, nothing, or anywhere."""
    found = _directory(data)
    if found is None:
        return data
    order, big, start, count = found
    at = start + (20 if big else 12) * count
    kind = "Q" if big else "I"
    target = int(rng.choice([start - (8 if big else 2), 4, at, len(data), rng.integers(len(data))]))
    if at + struct.calcsize(kind) <= len(data):
        struct.pack_into(f"{order}{kind}", data, at, target)
    return data


def lie_in_png_header(data: Data, rng: Rng, spared: list[tuple[int, int]]) -> Data:
    """Change size, depth or colours of a PNG, with the right checksum."""
    sizes = [16, 255, 4097, 30_000, 65_536, 1 << 24, 0x7FFFFFFF]
    width, height, *rest = struct.unpack(">IIBBBBB", data[16:29])
    which = rng.integers(3)
    width = int(rng.choice(sizes)) if which != 1 else width
    height = int(rng.choice(sizes)) if which != 0 else height
    rest[rng.integers(5)] = int(rng.choice([0, 1, 2, 3, 4, 6, 8, 16, 255]))
    data[16:29] = struct.pack(">IIBBBBB", width, height, *rest)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return data


def lie_in_png_chunk(data: Data, rng: Rng, spared: list[tuple[int, int]]) -> Data:
    """Change the length or the name of a chunk, drop it or double it."""
    starts, at = [], 8
    while at + 12 <= len(data):
        starts.append(at)
        at += 12 + struct.unpack_from(">I", data, at)[0]
    at = int(rng.choice(starts))
    length = struct.unpack_from(">I", data, at)[0]
    chunk = data[at : at + 12 + length]
    way = rng.integers(4)
    if way == 0:
        struct.pack_into(">I", data, at, int(rng.choice([0, 1, length + 1, 0x7FFFFFFF, 1 << 31])))
    elif way == 1:
        data[at + 4 : at + 8] = rng.choice([b"IDAT", b"tEXt", b"zTXt", b"iCCP", b"acTL", b"PLTE"])
    elif way == 2:
        del data[at : at + 12 + length]
    else:
        data[at:at] = chunk
    return data

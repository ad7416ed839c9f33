"""Ways to break a text: other encodings, other values, other names, no end."""

import json

import numpy as np

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

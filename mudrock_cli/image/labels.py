"""What the values of labels mean: a phase, one of two phases, or nothing.

Many labels tell pores from everything else, or grains. Of a pixel of "everything else" it is known
that it is clay or silt, and not which: it counts as wrong only as far as it is called a pore
(Jin and Ghahramani 2002, Learning with multiple labels).
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.image.mask import EXPECTED, NO_PHASE, PhaseMask, open_mask
from mudrock_cli.image.types import Phase

Labels = npt.NDArray[np.uint8]
ValueTable = npt.NDArray[np.uint8]
"""What each value of a file means, shape (256,): a label, or `NO_PHASE` where it means nothing."""

_PHASES = (Phase.CLAY, Phase.SILT, Phase.PORE)
_SET = 128  # plus a bit for each phase that it may be
_EXAMPLE = "--values 0=clay+silt,255=pore"


def encode_set(phases: Collection[Phase]) -> int:
    """Return the label of a pixel that is one of some phases: of one its number, of all `VOID`."""
    chosen = set(phases)
    if len(chosen) == 1:
        return int(chosen.pop())
    if chosen >= set(_PHASES):
        return int(Phase.VOID)
    return _SET + sum(1 << phase for phase in chosen)


def list_allowed() -> npt.NDArray[np.bool_]:
    """Return which phases a pixel of each label may be, shape (256, 3); none where void."""
    allowed = np.zeros((256, len(_PHASES)), bool)
    allowed[list(_PHASES), list(_PHASES)] = True
    for first in _PHASES:
        for second in range(first):
            allowed[encode_set((first, Phase(second))), [first, second]] = True
    return allowed


def find_partial(labels: Labels) -> npt.NDArray[np.bool_]:
    """Return where labels leave open which of two phases it is, shape (H, W)."""
    return np.asarray((labels > Phase.PORE) & (labels != Phase.VOID))


def drop_partial(labels: Labels) -> Labels:
    """Return labels that are `VOID` where it is open which of two phases it is."""
    partial = find_partial(labels)
    return np.where(partial, np.uint8(Phase.VOID), labels) if partial.any() else labels


def settle_partial(labels: Labels, phases: Labels) -> Labels:
    """Return labels, shape (H, W), in which every open pixel is one phase, to judge a mask by.

    It is what the mask calls it where it may be that, else the first phase that it may be: so
    phases that labels tell from all others are counted as they are, and only those.
    """
    partial = find_partial(labels)
    if not partial.any():
        return labels
    allowed = list_allowed()[labels[partial]]
    called = phases[partial]
    possible = (called <= Phase.PORE) & allowed[np.arange(len(called)), called % len(_PHASES)]
    settled = labels.copy()
    settled[partial] = np.where(possible, called, allowed.argmax(axis=1))
    return settled


def find_told(labels: Labels) -> npt.NDArray[np.bool_]:
    """Return which phases are told from all others wherever labels are, shape (3,)."""
    open_ones = np.unique(labels[find_partial(labels)])
    return np.asarray(~list_allowed()[open_ones].any(axis=0))


def parse_values(text: str) -> ValueTable:
    """Read what the values of labels mean, from text such as ``0=clay+silt,255=pore``.

    A value that is not named is no phase; 255 is void unless it is named.

    Raises
    ------
    UsageError
        If the text cannot be read, names a value twice, or tells nothing apart.
    """
    table = np.full(256, NO_PHASE, np.uint8)
    table[Phase.VOID] = Phase.VOID
    named = {phase.name.lower(): phase for phase in _PHASES}
    seen = set[int]()
    for part in text.split(","):
        value, _, meaning = (piece.strip() for piece in part.partition("="))
        if not (value.isascii() and value.isdigit()) or int(value) > 255:
            raise UsageError(f"--values {text}: {value!r} is no value of 0 to 255", _EXAMPLE)
        if int(value) in seen:
            raise UsageError(f"--values {text}: {value} stands there twice", _EXAMPLE)
        seen.add(int(value))
        if meaning == "void":
            table[int(value)] = Phase.VOID
            continue
        names = [name.strip() for name in meaning.split("+")]
        for name in names:
            if name not in named:
                known = ", ".join([*named, "void"])
                raise UsageError(f"--values {text}: {name!r} is none of {known}", _EXAMPLE)
        table[int(value)] = encode_set([named[name] for name in names])
    told = {int(label) for label in table} - {NO_PHASE, int(Phase.VOID)}
    if len(told) < 2:
        raise UsageError(f"--values {text}: tells no two things apart", _EXAMPLE)
    return table


def open_label(path: Path, values: ValueTable | None = None) -> PhaseMask:
    """Open labels as `open_mask` does; where it refuses, name the option that tells of others."""
    try:
        return open_mask(path, values=values)
    except MudrockError as error:
        if error.hint != EXPECTED:
            raise
        raise MudrockError(error.message, f"{EXPECTED}; --values tells of others") from error

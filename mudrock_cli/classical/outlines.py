"""Outlines of a finished mask, moved from where published labels draw them to where they are seen.

Published labels, and so the masks of a network that learnt from them, draw pores 10 nm and silt
grains 145 nm inside their visible outlines. That does not matter where masks are compared with
labels; porosity and grain sizes come out too small.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from mudrock_cli.classical.filters import Grey
from mudrock_cli.classical.grains import (
    CandidateMasks,
    choose_grains,
    distance_to,
    open_solid,
    opening_reach,
)
from mudrock_cli.classical.recipe import load_recipe
from mudrock_cli.classical.workflow import candidate_phases
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.tiles import Packed, Rows
from mudrock_cli.image.types import Map, Phase

Outlines = Literal["labels", "exact"]
"""Where a mask draws outlines: as the published labels do, or where they are visible."""

_OPENING_NM = 180.0
"""Diameter of the disc that must fit into silt wherever it is: threads of silt are none."""
_LEAST_MARGINS = 4  # rows of a window over those of its margin


def exact_outlines(
    bands: Iterable[Grey],
    micrograph: Micrograph,
    mapper: Map = map,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Grey]:
    """Move the outlines of silt and pores outwards to where they are visible.

    A pore takes the pixels around it, as far as labels draw it too small, that the workflow's
    ``exact`` recipe finds as dark as pores. Silt is opened by a small disc; grains that are, with
    the rim that labels leave to the clay, no larger than 2 µm become clay; the others get their
    rim. Pores come last.

    Parameters
    ----------
    bands : iterable of ndarray of uint8, shape (rows, columns of the specimen)
        Phases of the specimen, from top to bottom; all are taken before the first is given.
    micrograph : Micrograph
        That they were found on, with a pixel size, without repeated rows and columns.
    mapper : callable
        Like the builtin `map`: does the bands of the workflow.
    advance : callable
        ``advance(done, total)`` in bands of the workflow.

    Returns
    -------
    iterator of ndarray of uint8, shape (rows, columns of the specimen)

    Raises
    ------
    ValueError
        If the micrograph has no pixel size.
    MudrockError
        If it cannot be read, or all its pixels have the same grey.
    """
    if micrograph.pixel_size is None:
        raise ValueError("the lengths of a recipe are physical: a pixel size is needed")
    nm = micrograph.pixel_size.nm
    labels, exact = load_recipe("groundtruth"), load_recipe("exact")
    rim, edge = labels.silt.rim_nm / nm, labels.pore.edge_nm / nm
    opening = max(_OPENING_NM / nm, 1.0)
    given, found = [], []
    for window in _overlap(bands, opening_reach(opening)):
        silt = (window.rows == Phase.SILT).astype(np.uint8)
        opened = open_solid(silt, opening, 0, window.at_edges)[window.own]
        nothing = Packed.pack(np.zeros_like(opened), bits=True)
        found.append(CandidateMasks(nothing, Packed.pack(opened, bits=True), nothing))
        given.append(Packed.pack(window.rows[window.own]))
    if not found:
        return iter(())
    by_size = replace(exact.silt, rim_nm=labels.silt.rim_nm)
    grains = choose_grains(found, by_size, nm, mapper)
    # Where pixels are too coarse for the recipe, or for the edge itself, pores stay as they are.
    shows = exact.contrast.shows(nm) and edge >= 0.5
    dark = Rows(candidate_phases(micrograph, exact, mapper, advance)) if shows else None

    def join() -> Iterator[Grey]:
        for packed, chosen in zip(given, grains, strict=True):
            phases = packed.unpack()
            seen = dark.take(len(phases)) if dark else phases
            masks = (chosen.unpack() == Phase.SILT, phases == Phase.PORE, seen == Phase.PORE)
            yield np.packbits([phases == Phase.VOID, *masks[::-1]], axis=0)[0] >> 4

    return (_grow(window, rim, max(edge, 1.0)) for window in _overlap(join(), math.ceil(rim) + 1))


def _grow(window: "_Window", rim: float, edge: float) -> Grey:
    """Give grains their rim and pores their edge; rows have bits: silt, pore, dark, no specimen."""
    silt, pores, dark, void = (window.rows >> np.uint8(bit) & np.uint8(1) for bit in range(4))
    pores |= dark & (distance_to(pores) <= edge)
    phases = np.where(distance_to(silt) <= rim, np.uint8(Phase.SILT), np.uint8(Phase.CLAY))
    phases[pores > 0] = Phase.PORE
    phases[void > 0] = Phase.VOID
    return phases[window.own]


class _Window(NamedTuple):
    """Rows of an image with those around them."""

    rows: Grey
    own: slice  # the rows that nothing is lacking around
    at_edges: tuple[bool, bool]  # whether they begin, and end, with the image


def _overlap(bands: Iterable[Grey], margin: int) -> Iterator[_Window]:
    """Cover an image that comes in bands with windows that have `margin` rows around their own."""
    held, top, at_top = None, 0, True
    for band in bands:
        held = band if held is None else np.concatenate([held, band])
        ready = len(held) - margin
        if ready - top >= _LEAST_MARGINS * margin:
            yield _Window(held, slice(top, ready), (at_top, False))
            cut = max(ready - margin, 0)
            held, top, at_top = held[cut:], ready - cut, at_top and not cut
    if held is not None:
        yield _Window(held, slice(top, len(held)), (at_top, True))

"""The workflow of Bihani et al. (2022), after Landry et al. (2017): a micrograph to phases.

It reads in bands and gives what it would give in one piece: around each band it reads what has a
say in it, the grey levels that thresholds are relative to are measured on the whole image first,
and grains are measured across bands.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np

from mudrock_cli.classical.filters import (
    Contrast,
    Grey,
    Mask,
    Scale,
    enhance,
    plan_background,
    plan_scales,
)
from mudrock_cli.classical.grains import CandidateMasks, choose_grains, open_solid, opening_reach
from mudrock_cli.classical.image_statistics import (
    INNER_NM,
    MARGIN,
    BandStatistics,
    ImageStatistics,
    Strip,
    combine_bands,
    measure_band,
)
from mudrock_cli.classical.recipe import PoreRecipe, WorkflowRecipe
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.resample import (
    Deduplicated,
    deduplicate,
    resample_bands,
    resample_micrograph,
    scale_factor,
)
from mudrock_cli.image.tiles import Packed
from mudrock_cli.image.types import Box, Map, Phase

Advance = Callable[[int, int], None]

_BAND_PIXELS = 1 << 24
_BAND_HALOS = 3  # rows of a band over those read above it: wide mosaics read no more than 1.7 times
_ROUGH = 2.0  # times the typical contrast
# Standard deviations of smoothed noise: what they may explain is neither roughness nor a groove.
_NOISY_GRAIN, _NOISY_SOLID = 3.0, 5.0


@dataclass(frozen=True)
class Band:
    """Rows of a specimen, and the rows around them that have a say in what they become."""

    rows: slice  # counted from the top of the specimen
    window: slice  # the rows that are read

    @property
    def own(self) -> slice:
        """The band's own rows of an array of its window."""
        return slice(self.rows.start - self.window.start, self.rows.stop - self.window.start)


def _plan_bands(shape: tuple[int, int], halo: int, align: int, pixels: int) -> list[Band]:
    """Cover an image with bands of roughly so many pixels, and `halo` rows above and below.

    Their windows begin at multiples of `align`, the grid of the coarsest level.
    """
    height, width = shape
    step = max(pixels // width // align, 1) * align
    margin = -(-halo // align) * align
    return [
        Band(
            slice(top, min(top + step, height)),
            slice(max(top - margin, 0), min(top + step + margin, height)),
        )
        for top in range(0, height, step)
    ]


class Intermediates(NamedTuple):
    """Intermediate images of a band; arrays of uint8, shape (rows, columns).

    Parameters
    ----------
    grey, smooth, closing : ndarray
        The micrograph, its finest median, and the brightness of the solid around each pixel.
    contrast : ndarray
        0 no darker than the solid, 255 as dark as the deepest pore.
    pores, solid, opened : ndarray
        Masks of 0 and 1: pores, smooth solid, smooth solid after erosion and dilation.
    """

    grey: Grey
    smooth: Grey
    closing: Grey
    contrast: Grey
    pores: Mask
    solid: Mask
    opened: Mask


Show = Callable[[slice, Intermediates], None]


class Workflow:
    """The workflow, ready for one micrograph.

    Parameters
    ----------
    micrograph : Micrograph
        Its pixel size turns the recipe's lengths into pixels. Only its specimen is looked at.
    recipe : WorkflowRecipe
        What to look for.
    band_pixels : int, optional
        Pixels of a band, roughly; it changes no result.
    mapper : callable
        Like the builtin `map`; measures the bands.
    advance : callable
        ``advance(done, total)`` in bands, each of which is measured and later thresholded.

    Attributes
    ----------
    micrograph : Micrograph
        What the workflow looks at: the given one, or its specimen enlarged.
    pixel_nm : float
        Nanometres per pixel of that.
    bands : list of Band
        Its bands.
    statistics : ImageStatistics
        Levels of grey that thresholds are relative to.

    Raises
    ------
    ValueError
        If the micrograph has no pixel size.
    MudrockError
        If it cannot be read, or all its pixels have the same grey.
    """

    def __init__(
        self,
        micrograph: Micrograph,
        recipe: WorkflowRecipe,
        band_pixels: int | None = None,
        mapper: Map = map,
        advance: Advance = lambda done, total: None,
    ) -> None:
        if micrograph.pixel_size is None:
            raise ValueError("the lengths of a recipe are physical: a pixel size is needed")
        self._given, self.recipe, given_nm = micrograph, recipe, micrograph.pixel_size.nm
        self._advance = advance
        self.micrograph, self.pixel_nm = _enlarge(micrograph, given_nm, recipe)
        nm, shape = self.pixel_nm, self.micrograph.specimen.shape
        scales, level = plan_scales(recipe.contrast, nm), plan_background(recipe.background, nm)
        edge, middle = round(recipe.pore.edge_nm / nm), math.ceil(INNER_NM / nm) + 1
        align = max(scale.factor for scale in [*scales, level])
        halo = max((scale.reach for scale in scales), default=0) + align
        halo += max(opening_reach(recipe.silt.thickness_nm / nm), edge, middle)
        pixels = band_pixels or max(_BAND_PIXELS, _BAND_HALOS * halo * shape[1])
        self.bands = _plan_bands(shape, halo, align, pixels)
        self._steps = _Steps(
            self.micrograph, micrograph, recipe, nm, scales, level, edge, len(self.bands) == 1
        )
        window = (scales[0].factor * scales[0].window if scales else 1) * nm / given_nm
        self.statistics = combine_bands(
            self._tell(mapper(self._steps.measure, self.bands), 0),
            str(micrograph.path or micrograph.name),
            window,
            level,
            recipe.background,
        )

    def _tell(self, bands: Iterable[Any], before: int) -> Iterator[Any]:
        """Yield what is done of bands, and tell how many are."""
        for done, band in enumerate(bands, before + 1):
            self._advance(done, 2 * len(self.bands))
            yield band

    def find_candidates(
        self,
        recipes: Sequence[WorkflowRecipe] = (),
        show: Show | None = None,
        mapper: Map = map,
    ) -> list[list[CandidateMasks]]:
        """Threshold and open, band by band.

        Parameters
        ----------
        recipes : sequence of WorkflowRecipe
            Differ from the workflow's recipe in ``pore`` and ``silt`` only, and open by no larger
            disc; by default that recipe alone.
        show : callable, optional
            ``show(rows, intermediates)`` is given what the last recipe makes of each band; too
            much to travel, so the bands are then done in this process.
        mapper : callable
            Like the builtin `map`; does the bands.

        Returns
        -------
        list of list of CandidateMasks
            For each of `recipes`, the bands.
        """
        work = partial(self._steps.find_candidates, recipes or [self.recipe], show)
        parts = ((band, self.statistics.crop(band.window)) for band in self.bands)
        found = self._tell((map if show else mapper)(work, parts), len(self.bands))
        return [list(bands) for bands in zip(*found, strict=True)]

    def choose_phases(
        self, candidates: Sequence[CandidateMasks], recipe: WorkflowRecipe, mapper: Map = map
    ) -> Iterator[Grey]:
        """Yield the phases of the specimen by bands, on the pixels that were given.

        Parameters
        ----------
        candidates : sequence of CandidateMasks
            The bands, from `find_candidates`.
        recipe : WorkflowRecipe
            By which they were found.
        mapper : callable
            Like the builtin `map`; labels the bands.
        """
        packed = choose_grains(candidates, recipe.silt, self.pixel_nm, mapper)
        shape, given = self.micrograph.specimen.shape, self._given.specimen.shape
        return resample_bands((phases.unpack() for phases in packed), shape, given)


def candidate_phases(
    micrograph: Micrograph,
    recipe: WorkflowRecipe,
    mapper: Map = map,
    advance: Advance = lambda done, total: None,
) -> Iterator[Grey]:
    """Return the phases of a micrograph's specimen, by bands of whole rows from top to bottom.

    This is what `groundtruth` writes, and the classical prior of `segment`. Ask the recipe first
    whether it applies: ``recipe.contrast.shows(nm)`` tells whether pixels are fine enough for its
    pores, ``recipe.tells_silt(shape, nm)`` whether the field is large enough for its grains; where
    it is not, a pixel that is no pore may be either solid.

    Parameters
    ----------
    micrograph : Micrograph
        With a pixel size, without repeated rows and columns.
    recipe : WorkflowRecipe
        What to look for; `load_recipe` reads it.
    mapper : callable
        Like the builtin `map`: computes bands here, or on other machines.
    advance : callable
        ``advance(done, total)`` in bands, each of which is looked at twice.

    Returns
    -------
    iterator of ndarray of uint8, shape (rows, columns of the specimen)
        Values of `Phase`, at the micrograph's own pixel size. Bands may have any height; statistics
        of the whole image are taken before the function returns, so it raises, not the iterator.

    Raises
    ------
    ValueError
        If the micrograph has no pixel size.
    MudrockError
        If it cannot be read, or all its pixels have the same grey.
    """
    workflow = Workflow(micrograph, recipe, mapper=mapper, advance=advance)
    (candidates,) = workflow.find_candidates(mapper=mapper)
    return workflow.choose_phases(candidates, recipe, mapper)


def label_phases(micrograph: Micrograph, recipe: WorkflowRecipe) -> Grey:
    """Return the phases of a micrograph that fits in memory, as `groundtruth` finds them.

    Parameters
    ----------
    micrograph : Micrograph
        With a pixel size.
    recipe : WorkflowRecipe
        What to look for.

    Returns
    -------
    ndarray of uint8, shape (rows, columns)
        Values of `Phase`; VOID outside the specimen.
    """
    deduplicated = deduplicate(micrograph)
    phases = candidate_phases(deduplicated.micrograph, recipe)
    whole = np.concatenate(list(frame_phases(deduplicated, phases)))
    return micrograph.leave_out(slice(0, len(whole)), whole)


def check_scale(
    micrograph: Micrograph, recipe: WorkflowRecipe, warn: Callable[[str, str], None]
) -> None:
    """Warn when the pixels or the field cannot show what the recipe looks for.

    Parameters
    ----------
    micrograph : Micrograph
        With a pixel size, as it is in the file.
    recipe : WorkflowRecipe
        What is looked for.
    warn : callable
        ``warn(kind, message)``.

    Raises
    ------
    MudrockError
        If the field is smaller than the disc that a grain must hold.
    """
    assert micrograph.pixel_size
    source, nm = micrograph.path or micrograph.name, micrograph.pixel_size.nm
    longest = max(micrograph.specimen.shape) * nm
    if longest < recipe.silt.thickness_nm:
        raise MudrockError(
            f"{source}: {nm:g} nm per pixel makes a field of {longest:.3g} nm, less than the "
            f"{recipe.silt.thickness_nm:g} nm that a grain is thick",
            "mend the pixel size: --pixel-size and --override-pixel-size",
        )
    if not recipe.contrast.shows(nm):
        warn(
            "pixels too coarse for the recipe",
            f"{source}: pixels of {nm:g} nm do not show pores of {recipe.contrast.reach_nm:g} nm, "
            "which the recipe looks for; look at the overlay before you trust the mask",
        )
    height, width = (side * nm / 1e3 for side in micrograph.specimen.shape)
    grain = recipe.silt.min_ecd_nm / 1e3
    if min(height, width) < 2 * grain:
        warn(
            "field too small for silt",
            f"{source}: the field of {width:.3g} x {height:.3g} µm hardly holds a grain of "
            f"{grain:.2g} µm; is {nm:g} nm per pixel right?",
        )


def frame_phases(deduplicated: Deduplicated, bands: Iterable[Grey]) -> Iterator[Grey]:
    """Yield whole rows of a file's image, from those of its specimen: VOID around it.

    Parameters
    ----------
    deduplicated : Deduplicated
        What the workflow was shown of the file.
    bands : iterable of ndarray of uint8, shape (rows, columns)
        Phases of the specimen from top to bottom.
    """
    box, (height, width) = deduplicated.micrograph.specimen, deduplicated.micrograph.shape

    def around(rows: slice) -> Grey:
        return np.full((rows.stop - rows.start, width), Phase.VOID, np.uint8)

    done = box.top
    yield deduplicated.restore(around(slice(0, done)), slice(0, done))
    for phases in bands:
        rows = slice(done, done + len(phases))
        band = around(rows)
        band[:, box.columns] = phases
        yield deduplicated.restore(band, rows)
        done = rows.stop
    yield deduplicated.restore(around(slice(done, height)), slice(done, height))


def _enlarge(micrograph: Micrograph, nm: float, recipe: WorkflowRecipe) -> tuple[Micrograph, float]:
    """Return a micrograph's specimen with pixels as small as the recipe wants, and their size.

    Pixels that are small enough stay as they are, and so do those that show no pores.
    """
    shape, wanted = micrograph.specimen.shape, recipe.contrast.nm_per_pixel
    factor = scale_factor(nm, wanted) if wanted else 1.0
    if factor <= 1 or not recipe.contrast.shows(nm):
        return micrograph, nm
    read, box = micrograph.read_specimen(), Box.whole(shape)
    specimen = replace(micrograph, shape=shape, read=read, specimen=box, reduced=())
    return resample_micrograph(specimen, wanted), wanted


@dataclass
class _Steps:
    """The steps for bands of one micrograph; what they need travels to other processes."""

    micrograph: Micrograph
    given: Micrograph  # what that was enlarged from, possibly the same
    recipe: WorkflowRecipe
    pixel_nm: float
    scales: list[Scale]  # of contrast, the finest first
    level: Scale  # on which the brightness of the solid is measured
    edge: int  # width of a pore's blurred rim, pixels
    alone: bool  # whether there is one band only: its contrast is kept from the measurement
    _kept: Contrast | None = None

    def measure(self, band: Band) -> BandStatistics:
        """Take the statistics of a band."""
        grey = self._read(band.window)
        contrast = self._enhance(grey, 0)
        self._kept = contrast if self.alone and self.scales else None
        strip = self._cut_strip(band, grey)
        return measure_band(grey, band.own, strip, contrast, self.level.factor, self.pixel_nm)

    def find_candidates(
        self,
        recipes: Sequence[WorkflowRecipe],
        show: Show | None,
        part: tuple[Band, ImageStatistics],
    ) -> list[CandidateMasks]:
        """Threshold and open a band, of which the statistics of its window are known."""
        band, statistics = part
        contrast = self._kept or self._enhance(self._read(band.window), statistics.solid)
        background, black = statistics.background(contrast.smooth.shape), statistics.black
        atypical = max(_ROUGH * statistics.typical, _NOISY_GRAIN * statistics.noise)
        rough = contrast.exceeds(atypical, background, black)
        known: dict[PoreRecipe, Mask] = {}
        found = []
        for recipe in recipes:
            inside = contrast.lies_below(recipe.pore.depth, background, black)
            if recipe.pore not in known:
                dark = contrast.exceeds(recipe.pore.darkness, background, black) | inside
                side = 2 * self.edge + 1
                known[recipe.pore] = np.asarray(cv2.erode(dark, np.ones((side, side), np.uint8)))
            limit = recipe.pore.darkness
            if self.scales:
                grooves = recipe.silt.roughness * statistics.texture
                limit = min(recipe.silt.darkness, max(grooves, _NOISY_SOLID * statistics.noise))
            solid = 1 - (contrast.exceeds(limit, background, black) | inside)
            opened = self._open(recipe, solid, band.window)
            masks = (known[recipe.pore], opened, rough)
            found.append(
                CandidateMasks(*(Packed.pack(each[band.own], bits=True) for each in masks))
            )
        if show:
            relative = contrast.relative(background, black)
            images = (contrast.smooth, contrast.ceiling, relative, masks[0], solid, opened)
            own = (self._read(band.rows), *(image[band.own] for image in images))
            show(band.rows, Intermediates(*own))
        return found

    def _read(self, rows: slice) -> Grey:
        return self.micrograph.read_specimen()(rows, slice(None))

    def _enhance(self, grey: Grey, solid: int) -> Contrast:
        return enhance(grey, self.scales, self.recipe.contrast.top_hat, solid)

    def _open(self, recipe: WorkflowRecipe, solid: Mask, window: slice) -> Mask:
        thickness, rim = recipe.silt.thickness_nm, recipe.silt.rim_nm
        at_edges = window.start == 0, window.stop == self.micrograph.specimen.height
        return open_solid(solid, thickness / self.pixel_nm, rim / self.pixel_nm, at_edges)

    def _cut_strip(self, band: Band, grey: Grey) -> Strip:
        """Return a band's rows as they were before the micrograph was enlarged."""
        if self.given is self.micrograph:
            return Strip(grey, band.window.start, band.rows)
        height, rows = self.micrograph.specimen.height, self.given.specimen.height
        top, bottom = (edge * rows // height for edge in (band.rows.start, band.rows.stop))
        first = max(top - MARGIN, 0)
        read = self.given.read_specimen()
        return Strip(read(slice(first, bottom + MARGIN), slice(None)), first, slice(top, bottom))

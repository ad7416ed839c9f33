"""What the workflow finds on an image before it chooses the grains."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.classical.filters import Band, Contrast, Grey, Mask, enhance, plan_bands
from mudrock_cli.classical.grains import choose_grains, open_solid, opening_reach
from mudrock_cli.classical.image_statistics import (
    INNER_NM,
    MARGIN,
    Glance,
    Strip,
    Survey,
    glance_at,
    take_survey,
)
from mudrock_cli.classical.recipe import (
    ContrastRecipe,
    PoreRecipe,
    Scale,
    WorkflowRecipe,
    plan_background,
    plan_scales,
)
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


@dataclass(frozen=True)
class Sketch:
    """Masks of a band, compressed: a hundredth of a byte per pixel or a few.

    Parameters
    ----------
    pores, opened, rough : Packed
        Pores, opened solid, and where the contrast is not typical.
    """

    pores: Packed
    opened: Packed
    rough: Packed

    @classmethod
    def pack(cls, pores: Mask, opened: Mask, rough: Mask) -> Self:
        """Compress three masks of 0 and 1, shape (rows, columns)."""
        return cls(*(Packed.pack(mask, bits=True) for mask in (pores, opened, rough)))


@dataclass(frozen=True)
class Draft:
    """Pores and opened solid of a whole specimen.

    Parameters
    ----------
    recipe : WorkflowRecipe
        What it is made with.
    sketches : list of Sketch
        The bands, from top to bottom.
    """

    recipe: WorkflowRecipe
    sketches: list[Sketch] = field(default_factory=list, repr=False)

    def phases(self, pixel_nm: float, mapper: Map = map) -> Iterator[Grey]:
        """Yield the phases of the specimen by bands; a pore in a grain stays a pore.

        Parameters
        ----------
        pixel_nm : float
            Nanometres per pixel.
        mapper : Map
            Who labels the bands.
        """
        planes = [(sketch.pores, sketch.opened, sketch.rough) for sketch in self.sketches]
        for phases in choose_grains(planes, self.recipe.silt, pixel_nm, mapper):
            yield phases.unpack()


# What the workflow does to one band of a micrograph.

_ROUGH = 2.0  # times the typical contrast
# Standard deviations of smoothed noise: what they may explain is neither roughness nor a groove.
_NOISY_GRAIN, _NOISY_SOLID = 3.0, 5.0


@dataclass(frozen=True)
class Sight:
    """What the steps make of a band's window; arrays of uint8, shape (rows, columns).

    Parameters
    ----------
    contrast : Contrast
        With the smoothed image and the closing.
    relative : ndarray
        The contrast: 0 no darker than the solid, 255 as dark as the deepest pore.
    pores, solid, opened : ndarray
        Masks of 0 and 1: pores, smooth solid, smooth solid after erosion and dilation.
    """

    contrast: Contrast
    relative: Grey
    pores: Mask
    solid: Mask
    opened: Mask


Watch = Callable[[Band, Sight], None]


@dataclass
class Steps:
    """The steps for bands of one micrograph; what they need travels to other processes.

    Parameters
    ----------
    micrograph : Micrograph
        With a pixel size.
    given : Micrograph
        The one that it was enlarged from, or the same.
    recipe : WorkflowRecipe
        What to look for.
    pixel_nm : float
        Nanometres per pixel.
    scales : list of Scale
        On which contrast is enhanced, the finest first.
    level : Scale
        On which the brightness of the solid is measured.
    edge : int
        Width of a pore's blurred rim, pixels.
    alone : bool
        Whether there is one band only: its contrast is then kept from the first look.
    """

    micrograph: Micrograph
    given: Micrograph
    recipe: WorkflowRecipe
    pixel_nm: float
    scales: list[Scale]
    level: Scale
    edge: int
    alone: bool
    _kept: Contrast | None = None

    def glance(self, band: Band) -> Glance:
        """Take a first look at a band."""
        grey = band.read(self.micrograph)
        contrast = self._enhance(grey, 0)
        self._kept = contrast if self.alone and self.scales else None
        strip, middle = self._cut_strip(band, grey), math.ceil(INNER_NM / self.pixel_nm)
        return glance_at(band, grey, strip, contrast, self.level.factor, middle)

    def _cut_strip(self, band: Band, grey: Grey) -> Strip:
        """Return a band's rows as they were before the micrograph was enlarged."""
        if self.given is self.micrograph:
            return Strip(grey, band.window.start, band.rows)
        height, rows = self.micrograph.specimen.height, self.given.specimen.height
        top, bottom = (edge * rows // height for edge in (band.rows.start, band.rows.stop))
        first = max(top - MARGIN, 0)
        read = self.given.read_specimen()
        return Strip(read(slice(first, bottom + MARGIN), slice(None)), first, slice(top, bottom))

    def sketch(
        self, recipes: Sequence[WorkflowRecipe], watch: Watch | None, part: tuple[Band, Survey]
    ) -> list[Sketch]:
        """Threshold and open a band by several recipes.

        Parameters
        ----------
        recipes : sequence of WorkflowRecipe
            Differ in thresholds only.
        watch : callable, optional
            Is shown what the steps of the last recipe make of the band.
        part : tuple of Band and Survey
            The band, and what the survey tells of its window.
        """
        band, survey = part
        contrast = self._kept or self._enhance(band.read(self.micrograph), survey.solid)
        background = survey.background(contrast.smooth.shape)
        atypical = max(_ROUGH * survey.typical, _NOISY_GRAIN * survey.noise)
        rough = contrast.exceeds(atypical, background, survey.black)
        sketches = []
        known: dict[PoreRecipe, Mask] = {}
        for recipe in recipes:
            if recipe.pore not in known:
                known[recipe.pore] = self._find_pores(recipe, contrast, background, survey)
            pores = known[recipe.pore]
            solid = self._find_solid(recipe, contrast, background, survey)
            opened = self._open(recipe, solid, band)
            sketches.append(Sketch.pack(*(band.cut(mask) for mask in (pores, opened, rough))))
        if watch:
            relative = contrast.relative(background, survey.black)
            watch(band, Sight(contrast, relative, pores, solid, opened))
        return sketches

    def _enhance(self, grey: Grey, solid: int) -> Contrast:
        return enhance(grey, self.scales, self.recipe.contrast.top_hat, solid)

    def _find_pores(
        self, recipe: WorkflowRecipe, contrast: Contrast, background: Grey, survey: Survey
    ) -> Mask:
        """Threshold, and take off the blurred rim."""
        dark = contrast.exceeds(recipe.pore.darkness, background, survey.black)
        dark |= contrast.lies_below(recipe.pore.depth, background, survey.black)
        side = 2 * self.edge + 1
        return np.asarray(cv2.erode(dark, np.ones((side, side), np.uint8)), np.uint8)

    def _find_solid(
        self, recipe: WorkflowRecipe, contrast: Contrast, background: Grey, survey: Survey
    ) -> Mask:
        """Return where neither a pore nor a crack or groove interrupts a smooth solid."""
        limit = recipe.pore.darkness
        if self.scales:
            grooves = max(recipe.silt.roughness * survey.texture, _NOISY_SOLID * survey.noise)
            limit = min(recipe.silt.darkness, grooves)
        features = contrast.exceeds(limit, background, survey.black)
        features |= contrast.lies_below(recipe.pore.depth, background, survey.black)
        return 1 - features

    def _open(self, recipe: WorkflowRecipe, solid: Mask, band: Band) -> Mask:
        thickness = recipe.silt.thickness_nm / self.pixel_nm
        rim = recipe.silt.rim_nm / self.pixel_nm
        return open_solid(solid, thickness, rim, band.sides(self.micrograph.specimen.height))


# Phases of a specimen put back into the image file that it was read from.


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


# The workflow of Bihani et al. (2022), after Landry et al. (2017): a micrograph to phases.
#
# It reads in bands and gives what it would give in one piece: around each band it reads what has a
# say in it, the levels that thresholds are relative to come from a first look at the whole image,
# and
# grains are measured across bands.

_BAND_PIXELS = 1 << 24
_BAND_HALOS = 3  # rows of a band over those read above it: wide mosaics read no more than 1.7 times


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
    mapper : Map
        Who takes a first look at the bands.

    Attributes
    ----------
    micrograph : Micrograph
        What the workflow looks at: the given one, or its specimen enlarged.
    pixel_nm : float
        Nanometres per pixel of that.

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
    ) -> None:
        if micrograph.pixel_size is None:
            raise ValueError("the lengths of a recipe are physical: a pixel size is needed")
        given, given_nm, self.recipe = micrograph, micrograph.pixel_size.nm, recipe
        micrograph, nm = _enlarge(given, given_nm, recipe.contrast)
        self.micrograph, self.pixel_nm, self._given = micrograph, nm, given
        scales, level = plan_scales(recipe.contrast, nm), plan_background(recipe.background, nm)
        edge = round(recipe.pore.edge_nm / nm)
        align = max(scale.factor for scale in [*scales, level])
        halo = max((scale.reach for scale in scales), default=0) + align
        halo += max(
            opening_reach(recipe.silt.thickness_nm / nm), edge, math.ceil(INNER_NM / nm) + 1
        )
        shape = micrograph.specimen.shape
        pixels = band_pixels or max(_BAND_PIXELS, _BAND_HALOS * halo * shape[1])
        self.bands = plan_bands(shape, halo, align, pixels)
        alone = len(self.bands) == 1
        self._steps = Steps(micrograph, given, recipe, nm, scales, level, edge, alone)
        source = str(micrograph.path or micrograph.name)
        window = scales[0].factor * scales[0].window * nm / given_nm if scales else nm / given_nm
        glances = mapper(self._steps.glance, self.bands)
        self.survey = take_survey(glances, source, window, level, recipe.background)

    def draft(
        self,
        recipes: Sequence[WorkflowRecipe] = (),
        advance: Callable[[int, int], None] = lambda done, total: None,
        watch: Watch | None = None,
        mapper: Map = map,
    ) -> list[Draft]:
        """Threshold and open, band by band.

        Parameters
        ----------
        recipes : sequence of WorkflowRecipe
            Differ from the workflow's recipe in ``pore`` and ``silt`` only, and open by no larger
            disc; by default that recipe alone.
        advance : callable
            ``advance(done, total)`` in bands.
        watch : callable, optional
            ``watch(band, sight)`` is shown what the steps of the last recipe make of a band; too
            much to travel, so the bands are then done in this process.
        mapper : Map
            Who does the bands.

        Returns
        -------
        list of Draft
            One for each of `recipes`.
        """
        drafts = [Draft(recipe) for recipe in recipes or [self.recipe]]
        work = partial(self._steps.sketch, [draft.recipe for draft in drafts], watch)
        parts = ((band, self.survey.crop(band.window)) for band in self.bands)
        sketches = (map if watch else mapper)(work, parts)
        for number, found in enumerate(sketches):
            for draft, sketch in zip(drafts, found, strict=True):
                draft.sketches.append(sketch)
            advance(number + 1, len(self.bands))
        return drafts

    def restore(self, bands: Iterable[Grey]) -> Iterator[Grey]:
        """Yield what drafts tell of each pixel on the specimen's pixels as they were given.

        Parameters
        ----------
        bands : iterable of ndarray of uint8, shape (rows, columns)
            Whole rows of `micrograph`'s specimen from top to bottom.
        """
        return resample_bands(bands, self.micrograph.specimen.shape, self._given.specimen.shape)


def _enlarge(
    micrograph: Micrograph, nm: float, contrast: ContrastRecipe
) -> tuple[Micrograph, float]:
    """Return a micrograph's specimen with pixels as small as the recipe wants, and their size.

    Pixels that are small enough stay as they are, and so do those that show no pores.
    """
    shape, wanted = micrograph.specimen.shape, contrast.nm_per_pixel
    factor = scale_factor(nm, wanted) if wanted else 1.0
    if factor <= 1 or not contrast.shows(nm):
        return micrograph, nm
    read, box = micrograph.read_specimen(), Box.whole(shape)
    specimen = replace(micrograph, shape=shape, read=read, specimen=box, reduced=())
    return resample_micrograph(specimen, wanted), wanted


def candidate_phases(
    micrograph: Micrograph, recipe: WorkflowRecipe, mapper: Map = map
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
    workflow = Workflow(micrograph, recipe, mapper=mapper)
    (draft,) = workflow.draft(mapper=mapper)
    return workflow.restore(draft.phases(workflow.pixel_nm, mapper))


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
    return np.concatenate(list(frame_phases(deduplicated, phases)))


# Many settings of the workflow that have equal right, and how they vote on each pixel.
#
# A region is silt or is not, by thresholds that nobody knows to better than some percent. One
# setting
# takes a whole grain or leaves it; where several are asked, the share of their votes tells how sure
# the workflow is, and a majority errs less than each of them. About pores that hardly matters, so
# all settings have the same.

VOTERS = 7
_SPANS = {  # of silt: share of a value by which it may be moved, up and down
    "rim_nm": 0.08,
    "thickness_nm": 0.08,
    "darkness": 0.12,
    "rough_share": 0.15,
    "min_ecd_nm": 0.02,
    "roughness": 0.06,
}
_SILT_VOTE = VOTERS + 1  # so that votes for silt and for pore add up to one number


def vary_thresholds(recipe: WorkflowRecipe) -> list[WorkflowRecipe]:
    """Return `VOTERS` recipes, spread evenly over what the thresholds of one may be.

    Parameters
    ----------
    recipe : WorkflowRecipe
        The middle.

    Notes
    -----
    The recipe itself and the next points of an additive sequence, whose steps are powers of the
    root of x^(d + 1) = x + 1 in d dimensions: the generalised golden ratio, which leaves no gaps.
    In this order of the axes seven come closest to the vote of many.
    """
    root = 2.0
    for _ in range(64):
        root = (1 + root) ** (1 / (len(_SPANS) + 1))
    varied = []
    for voter in range(VOTERS):
        moved = {}
        for axis, (name, span) in enumerate(_SPANS.items(), start=1):
            place = 2 * ((0.5 + voter * root**-axis) % 1) - 1
            moved[name] = getattr(recipe.silt, name) * (1 + place * span)
        varied.append(replace(recipe, silt=replace(recipe.silt, **moved)))
    return varied


def count_votes(
    drafts: Sequence[Draft], pixel_nm: float, mapper: Map
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield by bands how many drafts see silt and pore, as one number for both.

    Parameters
    ----------
    drafts : sequence of Draft
        `VOTERS` of them.
    pixel_nm : float
        Nanometres per pixel.
    mapper : Map
        Who labels the bands.

    Yields
    ------
    ndarray of uint8, shape (rows, columns)
        Indices into the rows of `share_votes`.
    """
    ballot = np.zeros(256, np.uint8)
    ballot[Phase.SILT], ballot[Phase.PORE] = _SILT_VOTE, 1
    for bands in zip(*(draft.phases(pixel_nm, mapper) for draft in drafts), strict=True):
        votes = ballot[bands[0]]
        for band in bands[1:]:
            votes += ballot[band]
        yield votes


def share_votes() -> npt.NDArray[np.float32]:
    """Return the shares of clay, silt and pore in the votes of each number of `count_votes`."""
    silt, pore = np.divmod(np.arange(_SILT_VOTE**2), _SILT_VOTE)
    shares = np.stack([VOTERS - silt - pore, silt, pore], axis=1) / VOTERS
    return shares.astype(np.float32)

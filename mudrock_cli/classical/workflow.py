"""The workflow of Bihani et al. (2022), after Landry et al. (2017): a micrograph to phases.

It reads in bands and gives what it would give in one piece: around each band it reads what has a
say in it, the levels that thresholds are relative to come from a first look at the whole image, and
grains are measured across bands.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from mudrock_cli.classical.bands import Band, plan_bands
from mudrock_cli.classical.contrast import Contrast, Grey, Mask, enhance
from mudrock_cli.classical.draft import Draft, Sketch
from mudrock_cli.classical.recipe import WorkflowRecipe
from mudrock_cli.classical.scales import plan_background, plan_scales
from mudrock_cli.classical.silt import open_solid, opening_reach
from mudrock_cli.classical.survey import Glance, glance_at, take_survey
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.phase import Phase
from mudrock_cli.spread import Spread, in_turn

BAND_PIXELS = 1 << 24
_ROUGH = 2.0  # times the typical contrast


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


class Workflow:
    """The workflow, ready for one micrograph.

    Parameters
    ----------
    micrograph : Micrograph
        Its pixel size turns the recipe's lengths into pixels.
    recipe : WorkflowRecipe
        What to look for.
    band_pixels : int
        Pixels of a band, roughly.
    spread : Spread
        Who takes a first look at the bands.

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
        band_pixels: int = BAND_PIXELS,
        spread: Spread = in_turn,
    ) -> None:
        if micrograph.pixel_size is None:
            raise ValueError("the lengths of a recipe are physical: a pixel size is needed")
        self.micrograph, self.recipe = micrograph, recipe
        self.pixel_nm = nm = micrograph.pixel_size.nm
        self.scales = plan_scales(recipe.contrast, nm)
        self.edge = round(recipe.pore.edge_nm / nm)
        self._level = level = plan_background(recipe.background, nm)
        align = max(scale.factor for scale in [*self.scales, level])
        halo = max((scale.reach for scale in self.scales), default=0) + align
        halo += max(opening_reach(recipe.silt.thickness_nm / nm), self.edge)
        self.bands = plan_bands(micrograph.specimen.shape, halo, align, band_pixels)
        self._kept: Contrast | None = None
        source = str(micrograph.path or micrograph.name)
        window = self.scales[0].factor * self.scales[0].window if self.scales else 1
        glances = spread(self._glance, self.bands)
        self.survey = take_survey(glances, source, window, level, recipe.background)

    def _glance(self, band: Band) -> Glance:
        """Read and enhance a band; if it is the only one, keep it for the second pass."""
        grey = band.read(self.micrograph)
        contrast = self._enhance(grey, 0)
        self._kept = contrast if len(self.bands) == 1 and self.scales else None
        return glance_at(band, grey, contrast, self._level.factor)

    def _enhance(self, grey: Grey, solid: int) -> Contrast:
        return enhance(grey, self.scales, self.recipe.contrast.top_hat, solid)

    def draft(
        self,
        recipes: Sequence[WorkflowRecipe] = (),
        advance: Callable[[int, int], None] = lambda done, total: None,
        watch: Watch | None = None,
        spread: Spread = in_turn,
    ) -> list[Draft]:
        """Threshold and open, band by band.

        Parameters
        ----------
        recipes : sequence of WorkflowRecipe
            Differ from the workflow's recipe in ``pore`` and ``silt`` thresholds only; by default
            that recipe alone.
        advance : callable
            ``advance(done, total)`` in bands.
        watch : callable, optional
            ``watch(band, sight)`` is shown what the steps of the last recipe make of a band; too
            much to travel, so the bands are then done in this process.
        spread : Spread
            Who does the bands.

        Returns
        -------
        list of Draft
            One for each of `recipes`.
        """
        drafts = [Draft(recipe) for recipe in recipes or [self.recipe]]
        work = partial(self._sketch, [draft.recipe for draft in drafts], watch)
        sketches = (in_turn if watch else spread)(work, self.bands)
        for number, found in enumerate(sketches):
            for draft, sketch in zip(drafts, found, strict=True):
                draft.sketches.append(sketch)
            advance(number + 1, len(self.bands))
        return drafts

    def _sketch(
        self, recipes: Sequence[WorkflowRecipe], watch: Watch | None, band: Band
    ) -> list[Sketch]:
        """Threshold and open a band by several recipes."""
        width = self.micrograph.specimen.width
        contrast = self._kept or self._enhance(band.read(self.micrograph), self.survey.solid)
        background = self.survey.background(band.window, width)
        rough = self._exceeds(contrast, _ROUGH * self.survey.typical, background)
        sketches = []
        for recipe in recipes:
            pores = self._find_pores(recipe, contrast, background)
            solid = self._find_solid(recipe, contrast, background)
            opened = self._open(recipe, solid, band)
            sketches.append(Sketch.pack(*(band.cut(mask) for mask in (pores, opened, rough))))
        if watch:
            relative = contrast.relative(background, self.survey.black)
            watch(band, Sight(contrast, relative, pores, solid, opened))
        return sketches

    def _find_pores(self, recipe: WorkflowRecipe, contrast: Contrast, background: Grey) -> Mask:
        """Threshold, and take off the blurred rim."""
        dark = self._exceeds(contrast, recipe.pore.darkness, background)
        dark |= contrast.lies_below(recipe.pore.depth, background, self.survey.black)
        side = 2 * self.edge + 1
        return np.asarray(cv2.erode(dark, np.ones((side, side), np.uint8)), np.uint8)

    def _find_solid(self, recipe: WorkflowRecipe, contrast: Contrast, background: Grey) -> Mask:
        """Return where neither a pore nor a crack or groove interrupts a smooth solid."""
        limit = recipe.pore.darkness
        if self.scales:
            limit = min(limit, recipe.silt.roughness * self.survey.typical)
        features = self._exceeds(contrast, limit, background)
        features |= contrast.lies_below(recipe.pore.depth, background, self.survey.black)
        return 1 - features

    def _open(self, recipe: WorkflowRecipe, solid: Mask, band: Band) -> Mask:
        thickness = recipe.silt.thickness_nm / self.pixel_nm
        rim = recipe.silt.rim_nm / self.pixel_nm
        return open_solid(solid, thickness, rim, band.sides(self.micrograph.specimen.height))

    def _exceeds(self, contrast: Contrast, darkness: float, background: Grey) -> Mask:
        return contrast.exceeds(darkness, background, self.survey.black)


def label_phases(micrograph: Micrograph, recipe: WorkflowRecipe) -> Grey:
    """Return the phases of a micrograph that fits in memory.

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
    workflow = Workflow(micrograph, recipe)
    (draft,) = workflow.draft()
    phases = np.full(micrograph.shape, Phase.VOID, np.uint8)
    parts = list(draft.phases(workflow.pixel_nm))
    if parts:
        phases[micrograph.specimen.rows, micrograph.specimen.columns] = np.concatenate(parts)
    return phases

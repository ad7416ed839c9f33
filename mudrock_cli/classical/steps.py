"""What the workflow does to one band of a micrograph."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mudrock_cli.classical.bands import Band
from mudrock_cli.classical.contrast import Contrast, Grey, Mask, enhance
from mudrock_cli.classical.draft import Sketch
from mudrock_cli.classical.glance import INNER_NM, MARGIN, Glance, Strip, glance_at
from mudrock_cli.classical.recipe import PoreRecipe, WorkflowRecipe
from mudrock_cli.classical.scales import Scale
from mudrock_cli.classical.silt import open_solid
from mudrock_cli.classical.survey import Survey
from mudrock_cli.image.micrograph import Micrograph

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

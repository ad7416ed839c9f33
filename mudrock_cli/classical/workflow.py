"""The workflow of Bihani et al. (2022), after Landry et al. (2017): a micrograph to phases.

It reads in bands and gives what it would give in one piece: around each band it reads what has a
say in it, the levels that thresholds are relative to come from a first look at the whole image, and
grains are measured across bands.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from mudrock_cli.classical.bands import plan_bands
from mudrock_cli.classical.contrast import Grey
from mudrock_cli.classical.draft import Draft
from mudrock_cli.classical.framing import frame_phases
from mudrock_cli.classical.glance import INNER_NM
from mudrock_cli.classical.recipe import ContrastRecipe, WorkflowRecipe
from mudrock_cli.classical.scales import plan_background, plan_scales
from mudrock_cli.classical.silt import opening_reach
from mudrock_cli.classical.steps import Steps, Watch
from mudrock_cli.classical.survey import take_survey
from mudrock_cli.image.enlargement import undo_enlargement
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.resample import resample_bands, resample_micrograph, scale_factor
from mudrock_cli.image.window import Box
from mudrock_cli.spread import Spread, in_turn

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
    spread : Spread
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
        spread: Spread = in_turn,
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
        glances = spread(self._steps.glance, self.bands)
        self.survey = take_survey(glances, source, window, level, recipe.background)

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
            Differ from the workflow's recipe in ``pore`` and ``silt`` only, and open by no larger
            disc; by default that recipe alone.
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
        work = partial(self._steps.sketch, [draft.recipe for draft in drafts], watch)
        parts = ((band, self.survey.crop(band.window)) for band in self.bands)
        sketches = (in_turn if watch else spread)(work, parts)
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
    distinct = undo_enlargement(micrograph)
    workflow = Workflow(distinct.micrograph, recipe)
    (draft,) = workflow.draft()
    phases = workflow.restore(draft.phases(workflow.pixel_nm))
    return np.concatenate(list(frame_phases(distinct, phases)))

"""The row of the summary of an image or of several together, and what is measured of one mask.

A summary is computed from fields, one or many, in the same way; what only makes sense within one
field (spacing, representativeness, texture) is added for single images.
"""

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.mask import PhaseMask, name_figure
from mudrock_cli.image.types import Map, Phase, PixelSize, Reader
from mudrock_cli.measure.cells import Blocks, CellCounter, find_blocks, lay_blocks, sum_blocks
from mudrock_cli.measure.components import Labelling, label_mask
from mudrock_cli.measure.instances import (
    Columns,
    Instances,
    counts_as_clay,
    divide_silt,
    measure_objects,
    place_centroids,
)
from mudrock_cli.measure.shapes import Bools, Floats, Ints
from mudrock_cli.measure.sizes import (
    describe_weights,
    grade,
    resolvable_diameter,
    share_near_limit,
    weighted_percentiles,
)
from mudrock_cli.measure.spatial import axial_mean, clark_evans, have_direction, ripley_l
from mudrock_cli.measure.stereology import LEAST_SECTIONS, STEP, lay_classes, unfold_sections
from mudrock_cli.measure.tables import Rows
from mudrock_cli.measure.texture import Texture, measure_texture, read_windows
from mudrock_cli.measure.uncertainty import (
    Interval,
    field_fraction,
    interval_percentiles,
    is_uneven,
    rock_fraction,
    unseen_fraction,
    vary_window,
)
from mudrock_cli.measure.window import Window

Row = dict[str, Any]
"""Values of columns of the summary, by name; NaN where a figure is not defined."""

PERCENTS = (10.0, 50.0, 90.0)

NEAR_LIMIT = 0.1
"""More of the pore area than this near the limit of resolution is worth a warning."""

MOST_RESAMPLED = 2.0
"""An image enlarged or reduced more times than this for the model is worth a warning."""

FRACTIONS = {
    Phase.PORE: "porosity",
    Phase.SILT: "silt_fraction",
    Phase.CLAY: "clay_fraction",
}
"""Column of each phase's share of area."""

UNSEEN_PORE_UM = 1.0
"""Pores of this diameter may be there unseen: nearly all pores of mudstone are nanopores."""

UNSEEN_SILT = 2.0
"""So many times the least size of silt is the silt that may be there unseen."""

_ROOM = 2
"""A field with a side under so many times the least size of silt hardly holds a whole grain."""

_OBJECTS = (
    (Phase.PORE, "pore", "pores", "pores"),
    (Phase.SILT, "silt", "silt_grains", "silt grains"),
)
"""A phase that comes in objects, its word in columns, the column of their number, their name."""


@dataclass(frozen=True)
class Grains:
    """The objects that count as one phase. N is their number.

    Parameters
    ----------
    ecd, area : ndarray of float64, shape (N,)
        Equivalent-circle diameter of the whole, µm, and area, µm².
    weight : ndarray of float64, shape (N,)
        Frame weight.
    block : ndarray of intp, shape (N,)
        Block of the image in which the centroid lies.
    """

    ecd: Floats
    area: Floats
    weight: Floats
    block: Blocks


@dataclass(frozen=True)
class Field:
    """What one image gives to a summary, be it of this image, of a group or of all.

    Parameters
    ----------
    pixel_size : PixelSize
        Side of its pixels.
    areas : ndarray of float64, shape (B, 3)
        Area of clay, silt and pore in each block as the mask shows them, µm².
    small_silt : ndarray of float64, shape (B,)
        Area of the silt in each block that counts as clay, µm².
    small_regions : int
        Number of silt regions that count as clay.
    grains : dict of Phase to Grains
        Silt grains and pores.
    warnings : dict of str to str
        What to know before its figures are used: kind, and the matter in words.
    places : ndarray of int64, shape (2, B), optional
        Row and column of each block among the blocks.
    silt_regions : int or None
        Number of silt regions before touching grains were divided; None where they were not.
    small_pores : ndarray of float64, shape (M,)
        Area of each pore that is too small to be counted, µm².
    """

    pixel_size: PixelSize
    areas: Floats
    small_silt: Floats
    small_regions: int
    grains: dict[Phase, Grains]
    warnings: dict[str, str] = dataclasses.field(default_factory=dict)
    places: Ints | None = None
    silt_regions: int | None = None
    small_pores: Floats = dataclasses.field(default_factory=lambda: np.zeros(0))

    def block_areas(self, phase: Phase) -> Floats:
        """Return the area that counts as a phase in each block, µm², shape (B,)."""
        sign = {Phase.CLAY: 1, Phase.SILT: -1, Phase.PORE: 0}[phase]
        return self.areas[:, phase] + sign * self.small_silt

    def chance(self, phase: Phase) -> float:
        """Return the variance of a phase's area by the random places of its objects alone, µm⁴.

        Notes
        -----
        The sum of their squared areas (marked Poisson field); clay is what silt and pores leave.
        """
        phases = (Phase.SILT, Phase.PORE) if phase == Phase.CLAY else (phase,)
        areas = [self.grains[each].area for each in phases]
        areas += [self.small_pores] if Phase.PORE in phases else []
        return sum(float(np.sum(area**2)) for area in areas)


def gather_field(columns: Columns, cells: CellCounter, pixel_size: PixelSize) -> Field:
    """Gather what the summary of an image needs.

    Parameters
    ----------
    columns : mapping of str to ndarray
        Its objects, from `measure_objects`.
    cells : CellCounter
        Its phases in cells.
    pixel_size : PixelSize
        Side of its pixels.
    """
    blocks = lay_blocks(cells.counts.shape[:2])
    counts = np.concatenate([cells.counts, cells.small_silt[..., None]], axis=2)
    sums = sum_blocks(counts, blocks).astype(np.float64) * pixel_size.um**2
    # Blocks without specimen tell nothing and are left out.
    solid = sums[:, :3].sum(axis=1) > 0
    number = np.maximum(np.cumsum(solid) - 1, 0)
    counted_as = columns["counted_as"]
    centroids = columns["centroid_row_px"], columns["centroid_column_px"]
    block = number[find_blocks(*centroids, blocks, cells.side)]
    grains = {
        phase: Grains(
            ecd=columns["whole_ecd_um"][kept],
            area=columns["area_um2"][kept],
            weight=columns["frame_weight"][kept],
            block=block[kept],
        )
        for phase in (Phase.SILT, Phase.PORE)
        for kept in [counted_as == phase]
    }
    small_regions = int(np.count_nonzero(counted_as == Phase.CLAY))
    places = np.stack(np.divmod(np.flatnonzero(solid), int(blocks[0].max()) + 1))
    areas, small_silt = sums[solid, :3], sums[solid, 3]
    small_pores = columns["area_um2"][counted_as == Phase.VOID]
    return Field(
        pixel_size, areas, small_silt, small_regions, grains, places=places, small_pores=small_pores
    )


def summarise(fields: Sequence[Field], min_silt_um: float, min_pore_um: float = 0.0) -> Row:
    """Summarise one or more images.

    Parameters
    ----------
    fields : sequence of Field
        At least one image.
    min_silt_um : float
        Silt regions up to this ECD count as clay, µm.
    min_pore_um : float
        Pores with a smaller ECD are not counted, µm.
    """
    areas = np.concatenate([field.areas for field in fields])
    image, total = number_blocks(fields), float(areas.sum(axis=0).sum())
    row: Row = {
        "images": len(fields),
        "area_analysed_um2": total,
        "min_silt_um": min_silt_um,
        "small_silt_regions": sum(field.small_regions for field in fields),
        "min_pore_um": min_pore_um,
        "small_pores": sum(len(field.small_pores) for field in fields),
    }
    small_area = sum(float(field.small_pores.sum()) for field in fields)
    row["small_pore_fraction"] = small_area / total if total else math.nan
    regions = [field.silt_regions for field in fields if field.silt_regions is not None]
    if len(regions) == len(fields):
        row["silt_regions"] = sum(regions)
    for phase in (Phase.SILT, Phase.CLAY):
        share = float(areas.sum(axis=0)[phase]) / total if total else math.nan
        row[f"mask_{phase.name.lower()}_fraction"] = share
    row |= summarise_fractions(fields, min_silt_um)
    for phase, word, count, _ in _OBJECTS:
        grains = pool_grains(fields, phase)
        row |= summarise_sizes(grains, word, image)
        row[count] = len(grains.ecd)
        if phase == Phase.SILT:
            row |= _unfold(grains, areas.sum(axis=1), image, min_silt_um)
    return row


def summarise_fractions(fields: Sequence[Field], min_silt_um: float) -> Row:
    """Return the shares of phases and their intervals: for the rock, or within a single field."""
    row: Row = {}
    unseen = {phase: unseen_limit(fields, phase, min_silt_um) for phase in (Phase.SILT, Phase.PORE)}
    sums = {phase: sum_areas(fields, phase) for phase in FRACTIONS}
    for phase, name in FRACTIONS.items():
        parts, wholes, chances = sums[phase]
        if len(fields) == 1:
            field = fields[0]
            blocks = field.block_areas(phase), field.areas.sum(axis=1)
            found = field_fraction(*blocks, chances[0])
        else:
            found = rock_fraction(parts, wholes, chances)
        if phase in unseen and found.value == 0:
            found = Interval(0.0, 0.0, unseen[phase])
        elif phase == Phase.CLAY:  # of what was not seen there may be some in its place
            hidden = sum(most for each, most in unseen.items() if not sums[each][0].any())
            low, high = (1.0, 1.0) if found.value == 1 else (found.low, found.high)
            found = Interval(found.value, max(low - hidden, 0.0), high)
        row |= name_scoped(name, found, len(fields))
    return row


def sum_areas(fields: Sequence[Field], phase: Phase) -> tuple[Floats, Floats, Floats]:
    """Return the area that counts as a phase in each field, that of specimen, and chance.

    Returns
    -------
    parts, wholes, chances : ndarray of float64, shape (n,)
        Areas, µm², and the variance of the first by random places of objects, µm⁴.
    """
    rows = [
        (field.block_areas(phase).sum(), field.areas.sum(), field.chance(phase)) for field in fields
    ]
    parts, wholes, chances = np.array(rows, np.float64).T
    return parts, wholes, chances


def unseen_limit(fields: Sequence[Field], phase: Phase, min_silt_um: float) -> float:
    """Return up to what share a phase may be there though no field shows any."""
    return unseen_fraction(
        [field.areas.sum() for field in fields], unseen_diameter(fields, phase, min_silt_um)
    )


def unseen_diameter(fields: Sequence[Field], phase: Phase, min_silt_um: float) -> float:
    """Return the diameter of the objects that may be there unseen, µm."""
    if phase == Phase.SILT:
        return UNSEEN_SILT * (min_silt_um or 2.0)
    return max(UNSEEN_PORE_UM, *(resolvable_diameter(field.pixel_size.um) for field in fields))


def number_blocks(fields: Sequence[Field]) -> Ints:
    """Return the number of the image of each block, blocks numbered through."""
    return np.repeat(np.arange(len(fields)), [len(field.areas) for field in fields])


def pool_grains(fields: Sequence[Field], phase: Phase) -> Grains:
    """Put the objects of several images together, blocks numbered through."""
    offsets = np.cumsum([0, *(len(field.areas) for field in fields[:-1])])
    parts = [field.grains[phase] for field in fields]
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("ecd", "area", "weight")
    }
    blocks = [part.block + offset for part, offset in zip(parts, offsets, strict=True)]
    return Grains(block=np.concatenate(blocks), **joined)


def summarise_sizes(grains: Grains, word: str, image: Ints) -> Row:
    """Percentiles of diameters by number and by area, and how far the frame correction carries."""
    row: Row = {}
    images = int(image.max(initial=-1)) + 1
    unit = image[grains.block] if images > 1 else grains.block
    units = images if images > 1 else len(image)
    for basis, weight in (("number", np.ones_like(grains.area)), ("area", grains.area)):
        seen = weighted_percentiles(grains.ecd, weight, PERCENTS)
        corrected = interval_percentiles(grains.ecd, weight * grains.weight, unit, units, PERCENTS)
        for percent, value, interval in zip(PERCENTS, seen, corrected, strict=True):
            stem = f"{word}_ecd_d{percent:g}_{basis}"
            row |= name_scoped(f"{stem}_um", interval, images, "um")
            row |= {f"{stem}_um": float(value), f"{stem}_corrected_um": interval.value}
        if word == "silt":
            graded = vars(grade(grains.ecd, weight))
            units_of = {"mean": "_phi", "sorting": "_phi"}
            row |= {f"silt_{basis}_{key}{units_of.get(key, '')}": graded[key] for key in graded}
    frame = describe_weights(grains.weight)
    return row | {
        f"{word}_whole": frame.counted,
        f"{word}_corrected_number": frame.corrected_number,
        f"{word}_effective_number": frame.effective_number,
        f"{word}_largest_weight": frame.largest_weight,
        f"{word}_correction_unstable": frame.unstable,
    }


def _unfold(grains: Grains, areas: Floats, image: Ints, min_silt_um: float) -> Row:
    """Silt sections to spheres; classes begin at the least size of silt, alike everywhere."""
    whole = grains.weight > 0
    if np.count_nonzero(whole) < LEAST_SECTIONS:
        return {}
    sizes = grains.ecd[whole]
    smallest = min_silt_um or STEP ** math.floor(math.log(sizes.min(), STEP) + 1e-9)
    found = unfold_sections(
        sizes,
        grains.weight[whole],
        image[grains.block[whole]],
        np.bincount(image, areas),
        edges=lay_classes(smallest, float(sizes.max())),
    )
    return {
        "silt_sphere_um": found.diameters,
        "silt_spheres_per_um3": found.spheres,
        "silt_spheres_low_per_um3": found.low,
        "silt_spheres_high_per_um3": found.high,
    }


def name_interval(name: str, interval: Interval, unit: str = "") -> Row:
    """Return a figure and its limits under the names of their columns."""
    ending = f"_{unit}" if unit else ""
    stem = name.removesuffix(ending)
    limits = {f"{stem}_low{ending}": interval.low, f"{stem}_high{ending}": interval.high}
    return {name: interval.value, **limits}


def name_scoped(name: str, interval: Interval, fields: int, unit: str = "") -> Row:
    """Do so with limits for the rock or, of a single field, within this field; the others NaN."""
    ending = f"_{unit}" if unit else ""
    inside = f"{name.removesuffix(ending)}_within_field{ending}"
    for_rock = interval if fields > 1 else Interval(interval.value)
    within = interval if fields == 1 else Interval(interval.value)
    row = name_interval(name, for_rock, unit) | name_interval(inside, within, unit)
    del row[inside]
    return row


def _warn_of_figures(row: Mapping[str, Any], fields: Sequence[Field]) -> dict[str, str]:
    """Return what to know before figures of one or more images are used: kind, and it in words."""
    found = {}
    unseen = []
    for phase, word, _, things in reversed(_OBJECTS):
        if row[FRACTIONS[phase]] == 0 and row["area_analysed_um2"] > 0:
            least = row["min_silt_um"]
            size, most = (tell(fields, phase, least) for tell in (unseen_diameter, unseen_limit))
            share = f"{float(f'{100 * most:.2g}'):g}"  # no 1e+02
            unseen.append(f"up to {share} % {word} ({things} of {size:g} µm)")
    if unseen:
        nothing = {1: "silt" if row["silt_fraction"] == 0 else "pore", 2: "silt and no pore"}
        found[f"no {nothing[len(unseen)]} seen"] = (
            f"no {nothing[len(unseen)]} was seen, which does not mean that there is none: "
            f"{' and '.join(unseen)} may be there"
        )
    sizes = sorted({field.pixel_size.nm for field in fields})
    seen = max(resolvable_diameter(field.pixel_size.um) for field in fields)
    if len(sizes) > 1 and row["min_pore_um"] < seen:
        found["several pixel sizes"] = (
            f"pixel sizes from {sizes[0]:g} to {sizes[-1]:g} nm are pooled; each image is measured "
            f"in its own, but pores under {seen:.2g} µm are only seen in fine ones, and count there"
        )
    for _, word, count, things in reversed(_OBJECTS):
        if row[count] and row[f"{word}_correction_unstable"]:
            number = f"{row[f'{word}_effective_number']:.0f}"
            whole = things.removesuffix("s") if number == "1" else things
            found[f"few {things} lie whole in the frame, on which corrected sizes rest"] = (
                f"sizes of {things} corrected for the frame rest on {number} whole {whole}"
                if row[f"{word}_effective_number"]
                else f"no {things} lie whole in the frame, so sizes cannot be corrected for it"
            )
    return found


def warn_of_fields(row: Mapping[str, Any], fields: Sequence[Field]) -> dict[str, str]:
    """Return what to know before figures of a group or of all images are used.

    What is said of single images is repeated with the number of images that it concerns.
    """
    found = _warn_of_figures(row, fields)
    if len(fields) == 1:
        found["one field"] = (
            "one field only: its intervals lie within this field, and do not speak for the rock"
        )
    kinds = Counter(kind for field in fields for kind in field.warnings)
    for kind, count in kinds.items():
        if len(fields) > 1:
            found[kind] = f"{count} of {len(fields)} images: {kind}"
        else:
            found[kind] = fields[0].warnings[kind]
    return found


def warn_of_field(
    row: Mapping[str, Any], field: Field, frame_um: tuple[float, float]
) -> dict[str, str]:
    """Return what to know of a single field: kind, and it in words.

    Parameters
    ----------
    row : mapping
        The field's row of the summary.
    field : Field
        The field.
    frame_um : tuple of float
        Height and width of the specimen, µm.
    """
    found = {}
    least, (height, width) = row["min_silt_um"], frame_um
    if row["silt_grains"] + row["small_silt_regions"] and min(frame_um) < _ROOM * least:
        found["field too small for silt"] = (
            f"the field of {width:.3g} x {height:.3g} µm hardly holds a silt grain of {least:g} "
            "µm, so its silt fraction says little"
        )
    for phase, _, _, things in reversed(_OBJECTS):
        share = FRACTIONS[phase].replace("_", " ")
        blocks = field.block_areas(phase), field.areas.sum(axis=1)
        strips = () if field.places is None else tuple(field.places)
        if is_uneven(*blocks, field.chance(phase), strips):
            found[f"{share} uneven"] = (
                f"{share} differs between parts of this field by more than {things} at random "
                "places make it differ, so another field may show another"
            )
    near = row["pore_area_near_limit"]
    if near > NEAR_LIMIT:
        found["pores near the resolution limit"] = (
            f"{100 * near:.0f} % of the pore area is in pores near the resolution limit"
        )
    outside = row.get("outside_training_range")
    if outside:
        found["outside the training range"] = (
            "the image is unlike those that the model was trained on "
            f"({', '.join(map(name_figure, outside))}), so its mask may be wrong"
        )
    factor = row.get("resample_factor") or 1.0
    if max(factor, 1 / factor) > MOST_RESAMPLED:
        found["resampled more than twofold"] = (
            f"the image was {'enlarged' if factor > 1 else 'reduced'} "
            f"{max(factor, 1 / factor):.1f} times to the pixel size of the model"
        )
    if row.get("model_judged") is False:
        found["model not judged"] = "the model was never judged on images that it had not seen"
    return found


def _describe_origin(provenance: Mapping[str, Any]) -> Row:
    """Return the columns of how far the model fitted the micrograph, from a mask's provenance."""
    results = provenance.get("results")
    results = results if isinstance(results, Mapping) else {}
    outside, factor = results.get("outside_domain"), results.get("resample_factor")
    judged = results.get("model_judged")
    return {
        "outside_training_range": [str(name) for name in outside]
        if isinstance(outside, list)
        else None,
        "resample_factor": float(factor)
        if isinstance(factor, int | float) and factor > 0
        else None,
        "model_judged": judged if isinstance(judged, bool) else None,
    }


def _describe_field(
    columns: Columns,
    cells: CellCounter,
    texture: Texture,
    pixel_size: PixelSize,
    labelling: Labelling,
) -> Row:
    """Return the columns of the summary that single images have."""
    um = pixel_size.um
    row: Row = {
        "pixel_size_nm": pixel_size.nm,
        "pixel_size_source": pixel_size.source,
        "resolvable_ecd_um": resolvable_diameter(um),
        "silt_contiguity": texture.contacts.contiguity,
        "silt_contacts_per_grain": texture.contacts.contacts_per_grain,
    }
    window = labelling.window.scale(um)
    corner = np.array(labelling.origin) * um
    for phase, word, _, _ in _OBJECTS:
        kept = columns["counted_as"] == phase
        points = place_centroids(columns, kept, um) - corner
        varied = vary_window(cells.count_by_rule(), phase, cells.side * um)
        pairs = texture.pairs[phase]
        row |= _describe_axes(columns, kept, word) | _describe_spacing(points, window, word)
        row |= {
            f"{word}_variation": varied.variation,
            f"{word}_window_um": varied.size,
            "window_side_um": varied.sides,
            f"{word}_two_point": pairs.correlate(),
            "two_point_distance_um": pairs.lags() * um,
            f"{word}_boundary_per_um": pairs.boundary() / um,
        }
    pores = np.isin(columns["counted_as"], (Phase.PORE, Phase.VOID))
    near = share_near_limit(columns["ecd_um"][pores], columns["area_um2"][pores], um)
    return row | {"pore_area_near_limit": near}


def _describe_axes(columns: Columns, kept: Bools, word: str) -> Row:
    """Return the direction that long axes have in common."""
    names = ("orientation_deg", "aspect_ratio", "area_px", "frame_weight")
    angle, aspect, pixels, weight = (columns[name][kept] for name in names)
    # What the frame cuts lies along it: whole objects only, weighed by their chance to be whole.
    directed = have_direction(angle, aspect, pixels)
    found = axial_mean(np.radians(angle[directed]), weight[directed])
    degrees = math.degrees(found.angle) % 180
    return {
        f"{word}_orientation_deg": 0.0 if degrees == 180 else degrees,
        f"{word}_orientation_strength": found.strength,
        f"{word}_orientation_p": found.p,
    }


def _describe_spacing(points: Floats, window: Window, word: str) -> Row:
    """Return how centroids lie to each other."""
    nearest = clark_evans(points, window)
    row: Row = {f"{word}_clark_evans": nearest.index, f"{word}_clark_evans_p": nearest.p}
    if len(points) > 1:
        ripley = ripley_l(points, window)
        row |= {
            f"{word}_ripley_radius_um": ripley.radii,
            f"{word}_ripley_l_um": ripley.l,
            f"{word}_ripley_critical_um": ripley.critical,
        }
    return row


@dataclass(frozen=True)
class MeasuredImage:
    """All that is measured of one mask.

    Parameters
    ----------
    instances : Instances or pyarrow.Table
        A row per silt grain or pore, to be made or made.
    field : Field
        What it gives to groups.
    row : dict
        Its row of the summary, by column.
    warnings : dict of str to str
        What to know before its figures are used: kind, and the matter in words.
    """

    instances: Rows
    field: Field
    row: Row
    warnings: dict[str, str]


def measure_image(
    name: str,
    mask: PhaseMask,
    pixel_size: PixelSize,
    min_silt_um: float,
    layers: Mapping[str, Reader] | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
    mapper: Map = map,
    split: bool = False,
    min_pore_um: float = 0.0,
) -> MeasuredImage:
    """Measure a mask.

    Parameters
    ----------
    name : str
        What the image is called in the tables.
    mask : PhaseMask
        The mask.
    pixel_size : PixelSize
        Side of its pixels.
    min_silt_um : float
        Silt regions up to this ECD count as clay, µm.
    layers : mapping of str to reader, optional
        ``grey`` and ``confidence``, 0 to 255, of the mask's shape.
    advance : callable
        ``advance(done, total)`` is called as rows are done.
    mapper : Map
        Who does the bands.
    split : bool
        Divide silt grains that touch at their necks, and measure each.
    min_pore_um : float
        Pores with a smaller ECD are not counted, µm.

    Raises
    ------
    MudrockError
        If the mask cannot be read, holds values that are no phase, or no specimen at all.
    """
    parts = regions = None
    if split:
        parts, regions = divide_silt(mask, pixel_size, min_silt_um, mapper)
    cells = CellCounter(mask.shape, partial(counts_as_clay, pixel_size.um, min_silt_um))
    labelling = label_mask(
        mask, layers=layers, cells=cells, parts=parts, advance=advance, mapper=mapper
    )
    if labelling.specimen is None:
        raise MudrockError(
            f"{mask.path or mask.name}: no specimen in it, all pixels are void",
            "segment the image again, or leave it out",
        )
    columns = measure_objects(labelling, pixel_size, min_silt_um, min_pore_um)
    clay = columns["counted_as"] == Phase.CLAY
    top, left, bottom, right = labelling.objects.box[:, clay]
    small = np.stack([top, left, -bottom, -right, columns["area_px"][clay]]).astype(np.int64)
    # Transforms and distance maps let go of Python's lock: they run beside everything else.
    with ThreadPoolExecutor(1) as beside:
        texture = beside.submit(measure_texture, read_windows(mask, small))
        instances = Instances(name, labelling, columns, pixel_size)
        field = replace(gather_field(columns, cells, pixel_size), silt_regions=regions)
        row = summarise([field], min_silt_um, min_pore_um)
        row |= _describe_field(columns, cells, texture.result(), pixel_size, labelling)
    row |= _describe_origin(mask.provenance)
    box, um = labelling.specimen, pixel_size.um
    field.warnings.update(warn_of_field(row, field, (box.height * um, box.width * um)))
    warnings = _warn_of_figures(row, [field]) | field.warnings
    row |= {
        "scope": "image",
        "image": name,
        "height_px": mask.shape[0],
        "width_px": mask.shape[1],
        "warnings": list(warnings.values()),
        "provenance": json.dumps(dict(mask.provenance), sort_keys=True, ensure_ascii=False),
    }
    return MeasuredImage(instances, field, row, warnings)

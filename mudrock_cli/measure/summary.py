"""What one image gives to the figures of a summary, be it of this image, a group or all."""

import json
import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import Box, Map, Phase, PixelSize, Reader
from mudrock_cli.measure.cells import CellCounter, find_blocks, lay_blocks, sum_blocks
from mudrock_cli.measure.components import label_mask
from mudrock_cli.measure.groups import compare_groups
from mudrock_cli.measure.instances import (
    Columns,
    Instances,
    counts_as_clay,
    place_centroids,
    survey_objects,
)
from mudrock_cli.measure.shapes import Bools, Floats, Ints
from mudrock_cli.measure.sizes import (
    describe_weights,
    grade,
    resolvable_diameter,
    share_near_limit,
    weighted_percentiles,
)
from mudrock_cli.measure.spatial import (
    ContactSums,
    PairSums,
    axial_mean,
    clark_evans,
    have_direction,
    ripley_l,
    specific_boundary,
    sum_contacts,
    sum_pairs,
)
from mudrock_cli.measure.stereology import STEP, lay_classes, unfold_sections
from mudrock_cli.measure.tables import Rows
from mudrock_cli.measure.uncertainty import (
    Interval,
    bootstrap_fraction,
    bootstrap_percentiles,
    vary_window,
)

Blocks = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Grains:
    """The objects that count as one phase. N is their number.

    Parameters
    ----------
    ecd, area : ndarray of float64, shape (N,)
        Equivalent-circle diameter, µm, and area, µm².
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
class Sample:
    """One measured image.

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
    """

    pixel_size: PixelSize
    areas: Floats
    small_silt: Floats
    small_regions: int
    grains: dict[Phase, Grains]


def take_sample(columns: Columns, cells: CellCounter, pixel_size: PixelSize) -> Sample:
    """Gather what the summary of an image needs.

    Parameters
    ----------
    columns : mapping of str to ndarray
        Its objects, from `survey_objects`.
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
    grains = {}
    for phase in (Phase.SILT, Phase.PORE):
        kept = counted_as == phase
        grains[phase] = Grains(
            ecd=columns["ecd_um"][kept],
            area=columns["area_um2"][kept],
            weight=columns["frame_weight"][kept],
            block=block[kept],
        )
    return Sample(
        pixel_size=pixel_size,
        areas=sums[solid, :3],
        small_silt=sums[solid, 3],
        small_regions=int(np.count_nonzero(counted_as == Phase.CLAY)),
        grains=grains,
    )


# Summaries: the figures of one image, of a group of images, and of all together.
#
# A summary is computed from samples, one or many, in the same way; what only makes sense within one
# field (spacing, representativeness, texture) is added for single images by ``describe_field``.

Row = dict[str, Any]
PERCENTS = (10.0, 50.0, 90.0)
_WORDS = {Phase.SILT: "silt", Phase.PORE: "pore"}


def summarise(samples: Sequence[Sample], min_silt_um: float) -> Row:
    """Summarise one or more images.

    Parameters
    ----------
    samples : sequence of Sample
        At least one image.
    min_silt_um : float
        Silt regions up to this ECD count as clay, µm.

    Returns
    -------
    dict
        Values of columns of the summary table, by name; NaN where a figure is not defined.
    """
    image = np.repeat(np.arange(len(samples)), [len(sample.areas) for sample in samples])
    row = _summarise_areas(samples, image)
    row |= {
        "images": len(samples),
        "min_silt_um": min_silt_um,
        "small_silt_regions": sum(sample.small_regions for sample in samples),
    }
    for phase, word in _WORDS.items():
        grains = pool_grains(samples, phase)
        row |= _summarise_sizes(grains, word, image) | _describe_correction(grains, word)
        if phase == Phase.SILT:
            row |= _grade(grains) | _unfold(grains, samples, image)
        row["silt_grains" if phase == Phase.SILT else "pores"] = len(grains.ecd)
    return row


def pool_grains(samples: Sequence[Sample], phase: Phase) -> Grains:
    """Put the objects of several images together, blocks numbered through."""
    offsets = np.cumsum([0, *(len(sample.areas) for sample in samples)])
    parts = [sample.grains[phase] for sample in samples]
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("ecd", "area", "weight")
    }
    blocks = [part.block + offset for part, offset in zip(parts, offsets, strict=False)]
    return Grains(block=np.concatenate(blocks), **joined)


def block_sums(samples: Sequence[Sample], phase: Phase) -> tuple[Floats, Floats, Ints]:
    """Return the area of a phase and of specimen in each block, µm², and the block's image."""
    areas = np.concatenate([sample.areas for sample in samples])
    small = np.concatenate([sample.small_silt for sample in samples])
    image = np.repeat(np.arange(len(samples)), [len(sample.areas) for sample in samples])
    sign = {Phase.CLAY: 1, Phase.SILT: -1, Phase.PORE: 0}[phase]
    return areas[:, phase] + sign * small, areas.sum(axis=1), image


def _summarise_areas(samples: Sequence[Sample], image: Ints) -> Row:
    """Areas and their shares."""
    row: Row = {}
    names = {Phase.PORE: "porosity", Phase.SILT: "silt_fraction", Phase.CLAY: "clay_fraction"}
    for phase, name in names.items():
        row |= spread(name, bootstrap_fraction(*block_sums(samples, phase)))
    areas = np.concatenate([sample.areas for sample in samples]).sum(axis=0)
    total = float(areas.sum())
    row["area_analysed_um2"] = total
    for phase in (Phase.SILT, Phase.CLAY):
        name = f"mask_{phase.name.lower()}_fraction"
        row[name] = float(areas[phase]) / total if total else math.nan
    return row


def _summarise_sizes(grains: Grains, word: str, image: Ints) -> Row:
    """Percentiles of diameters by number and by area, as seen and corrected for the frame."""
    row: Row = {}
    bases = {"number": np.ones_like(grains.area), "area": grains.area}
    for basis, weight in bases.items():
        corrected = weighted_percentiles(grains.ecd, weight * grains.weight, PERCENTS)
        intervals = bootstrap_percentiles(grains.ecd, weight, grains.block, image, PERCENTS)
        for percent, interval, value in zip(PERCENTS, intervals, corrected, strict=True):
            stem = f"{word}_ecd_d{percent:g}_{basis}"
            row |= spread(f"{stem}_um", interval, "um")
            row[f"{stem}_corrected_um"] = float(value)
    return row


def _describe_correction(grains: Grains, word: str) -> Row:
    """How far the correction for the frame carries."""
    told = describe_weights(grains.weight)
    return {
        f"{word}_whole": told.counted,
        f"{word}_corrected_number": told.corrected_number,
        f"{word}_effective_number": told.effective_number,
        f"{word}_largest_weight": told.largest_weight,
        f"{word}_correction_unstable": told.unstable,
    }


def _grade(grains: Grains) -> Row:
    """Graphic statistics of silt by number and by area."""
    row: Row = {}
    for basis, weight in (("number", np.ones_like(grains.area)), ("area", grains.area)):
        found = grade(grains.ecd, weight)
        row |= {
            f"silt_{basis}_mean_phi": found.mean,
            f"silt_{basis}_sorting_phi": found.sorting,
            f"silt_{basis}_skewness": found.skewness,
            f"silt_{basis}_kurtosis": found.kurtosis,
        }
    return row


def _unfold(grains: Grains, samples: Sequence[Sample], image: Ints) -> Row:
    """Silt sections to spheres; classes begin at powers of the class ratio, alike everywhere."""
    if len(grains.ecd) == 0:
        return {}
    areas = np.concatenate([sample.areas for sample in samples]).sum(axis=1)
    smallest = STEP ** math.floor(math.log(grains.ecd.min(), STEP) + 1e-9)
    found = unfold_sections(
        grains.ecd,
        np.ones_like(grains.ecd),
        grains.block,
        areas,
        image,
        edges=lay_classes(smallest, float(grains.ecd.max())),
    )
    return {
        "silt_sphere_um": found.edges[1:],
        "silt_spheres_per_um3": found.spheres,
        "silt_spheres_low_per_um3": found.low,
        "silt_spheres_high_per_um3": found.high,
    }


def spread(name: str, interval: Interval, unit: str = "") -> Row:
    """Return a figure and its limits under the names of their columns."""
    stem = name.removesuffix(f"_{unit}") if unit else name
    ending = f"_{unit}" if unit else ""
    return {
        name: interval.value,
        f"{stem}_low{ending}": interval.low,
        f"{stem}_high{ending}": interval.high,
    }


# What to know before figures are used, in words.

NEAR_LIMIT = 0.1
"""More of the pore area than this near the limit of resolution is worth a word."""

_ROOM = 2
"""A field with a side under so many times the least size of silt hardly holds a whole grain."""

_THINGS = (("silt", "silt grains", "silt_grains"), ("pore", "pores", "pores"))


def caution_figures(row: Mapping[str, Any], samples: Sequence[Sample]) -> dict[str, str]:
    """Return cautions about the figures of one or more images: kind, and it in words.

    Parameters
    ----------
    row : mapping
        What `summarise` gives.
    samples : sequence of Sample
        The images.
    """
    if row["pores"] + row["silt_grains"] + row["small_silt_regions"] == 0:
        return {"nothing in the mask": "there is neither silt nor pore in the mask"}
    found = {}
    sizes = sorted({sample.pixel_size.nm for sample in samples})
    if len(sizes) > 1:
        found["several pixel sizes"] = (
            f"pixel sizes from {sizes[0]:g} to {sizes[-1]:g} nm are pooled; each image is measured "
            "in its own, but small objects are only seen in fine ones"
        )
    for word, things, count in _THINGS:
        if row[count] and row[f"{word}_correction_unstable"]:
            number = row[f"{word}_effective_number"]
            found[f"correction of {things} for the frame"] = (
                f"sizes of {things} corrected for the frame rest on {number:.0f} whole {things}"
                if number
                else f"no {things} lie whole in the frame, so sizes cannot be corrected for it"
            )
    return found


def caution_field(row: Mapping[str, Any], frame_um: tuple[float, float]) -> dict[str, str]:
    """Return cautions about a single field: kind, and it in words.

    Parameters
    ----------
    row : mapping
        What `summarise` and `describe_field` give.
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
    for word, _, count in _THINGS:
        if row[count] and row[f"{word}_window_um"] is None:
            share = "porosity" if word == "pore" else "silt fraction"
            found[f"{share} not representative"] = (
                f"{share} varies by over 10 % between windows of any size in this field"
            )
    near = row["pore_area_near_limit"]
    if near > NEAR_LIMIT:
        found["pores near the resolution limit"] = (
            f"{100 * near:.0f} % of the pore area is in pores near the resolution limit"
        )
    return found


# Rows of the summary for several images together: groups, pairs of groups, and all.

MOST_COMPARED = 12
"""Of more groups than this, pairs are not compared: nobody reads such a table."""


@dataclass(frozen=True)
class Measured:
    """What is kept of an image when its instances are written.

    Parameters
    ----------
    sample : Sample
        What it gives to groups.
    figures : dict
        Its summary.
    """

    sample: Sample
    figures: Row


def pool_images(
    measured: Mapping[str, Measured], groups: Mapping[str, str], min_silt_um: float
) -> Iterator[Row]:
    """Yield the rows of groups, of pairs of groups, and last of all images.

    Parameters
    ----------
    measured : mapping of str to Measured
        The images, by name; at least one.
    groups : mapping of str to str
        Group of each image; empty where there are none.
    min_silt_um : float
        Silt regions up to this ECD count as clay, µm.
    """
    members: defaultdict[str, list[Measured]] = defaultdict(list)
    for name, image in measured.items():
        if name in groups:
            members[groups[name]].append(image)
    for group in sorted(members):
        yield _pool(members[group], min_silt_um) | {"scope": "group", "group": group}
    for first, second in combinations(sorted(members), 2) if len(members) <= MOST_COMPARED else ():
        samples = ([image.sample for image in members[group]] for group in (first, second))
        row = compare_samples(*samples)
        yield row | {"scope": "comparison", "group": first, "other_group": second}
    yield _pool(list(measured.values()), min_silt_um) | {"scope": "pooled"}


def compare_samples(first: Sequence[Sample], second: Sequence[Sample]) -> Row:
    """Compare sizes and porosity of two groups of images.

    Parameters
    ----------
    first, second : sequence of Sample
        The images of each group.

    Returns
    -------
    dict
        Values of columns of the summary table; differences are second less first.
    """
    row: Row = {"images": len(first) + len(second)}
    blocks = [block_sums(samples, Phase.PORE) for samples in (first, second)]
    for phase, word in ((Phase.PORE, "pore"), (Phase.SILT, "silt")):
        sizes = [pool_grains(samples, phase).ecd for samples in (first, second)]
        found = compare_groups(sizes[0], sizes[1], blocks[0], blocks[1])
        row |= {
            f"{word}_ks": found.ks,
            f"{word}_ks_p": found.ks_p,
            f"{word}_wasserstein_um": found.wasserstein_um,
        }
        row |= spread("porosity_difference", found.porosity_difference)
    return row


def _pool(images: Sequence[Measured], min_silt_um: float) -> Row:
    samples = [image.sample for image in images]
    # The intervals of a single image would be the same, and take time.
    figures = images[0].figures if len(images) == 1 else summarise(samples, min_silt_um)
    return {**figures, "warnings": list(caution_figures(figures, samples).values())}


# What the pixels of one field tell besides its objects: their texture.
#
# Texture, the two-point correlation and the contacts of grains, takes a second look: at the whole
# of
# a usual micrograph, at four windows spread evenly over a mosaic.

WINDOW = 2048
"""Largest side of a window in which texture is measured, pixels."""

REACH = 256
"""Largest distance of the two-point correlation, pixels; at most a quarter of the field."""


@dataclass(frozen=True)
class Texture:
    """How phases are spread over a field.

    Parameters
    ----------
    pairs : dict of Phase to PairSums
        For the two-point correlation of silt and of pore.
    contacts : ContactSums
        Contacts between silt grains.
    """

    pairs: dict[Phase, PairSums]
    contacts: ContactSums


def read_windows(mask: PhaseMask) -> list[npt.NDArray[np.uint8]]:
    """Read the windows of a mask in which texture is measured, as `lay_windows` lays them."""
    return [mask.read(box.rows, box.columns) for box in lay_windows(mask.shape)]


def measure_texture(windows: Sequence[npt.NDArray[np.uint8]]) -> Texture:
    """Measure the texture of a field.

    Parameters
    ----------
    windows : sequence of ndarray of uint8, shape (H, W)
        Phases in windows of one size, from `read_windows`.
    """
    from scipy.fft import set_workers

    reach = max(1, min(REACH, *(length // 4 for length in windows[0].shape)))
    pairs: dict[Phase, PairSums] = {}
    contacts = ContactSums(0, 0, 0, 0)
    for window in windows:
        specimen = window != Phase.VOID
        for phase in (Phase.SILT, Phase.PORE):
            with set_workers(os.cpu_count() or 1):
                sums = sum_pairs(window == phase, specimen, reach)
            pairs[phase] = pairs[phase] + sums if phase in pairs else sums
        contacts += sum_contacts(window == Phase.SILT, specimen)
    return Texture(pairs, contacts)


def lay_windows(shape: tuple[int, int], side: int = WINDOW) -> list[Box]:
    """Lay at most four windows over a field: all of it where they cover it, else spread evenly."""
    spans = []
    for length in shape:
        parts = 1 if length <= side else 2
        middles = [(2 * part + 1) * length / (2 * parts) for part in range(parts)]
        half = min(side, length / parts) / 2
        spans.append([(round(middle - half), round(middle + half)) for middle in middles])
    return [Box(top, left, bottom, right) for top, bottom in spans[0] for left, right in spans[1]]


# What is said of a single field: spacing, direction, representativeness, texture.


def describe_field(
    columns: Columns, cells: CellCounter, texture: Texture, pixel_size: PixelSize, specimen: Box
) -> Row:
    """Return the columns of the summary that single images have.

    Parameters
    ----------
    columns : mapping of str to ndarray
        The objects of the image, from `survey_objects`.
    cells : CellCounter
        Its phases in cells.
    texture : Texture
        How its phases are spread.
    pixel_size : PixelSize
        Side of its pixels.
    specimen : Box
        Where the specimen is.
    """
    um = pixel_size.um
    row: Row = {
        "pixel_size_nm": pixel_size.nm,
        "pixel_size_source": pixel_size.source,
        "resolvable_ecd_um": resolvable_diameter(um),
        "silt_contiguity": texture.contacts.contiguity,
        "silt_contacts_per_grain": texture.contacts.contacts_per_grain,
    }
    counted_as = columns["counted_as"]
    frame = specimen.height * um, specimen.width * um
    corner = np.array([specimen.top, specimen.left]) * um
    for phase, word in ((Phase.PORE, "pore"), (Phase.SILT, "silt")):
        kept = counted_as == phase
        points = place_centroids(columns, kept, um) - corner
        varied = vary_window(cells.counts, phase, cells.side * um)
        row |= _describe_axes(columns, kept, word) | _describe_spacing(points, frame, word)
        row |= {
            f"{word}_variation": varied.variation,
            f"{word}_window_um": varied.size,
            "window_side_um": varied.sides,
        }
        correlation = texture.pairs[phase].correlate()
        distance = np.arange(len(correlation)) * um
        row |= {f"{word}_two_point": correlation, "two_point_distance_um": distance}
        if len(correlation) > 1:
            row[f"{word}_boundary_per_um"] = specific_boundary(correlation, um)
    pores = counted_as == Phase.PORE
    ecd, area = (columns[name][pores] for name in ("ecd_um", "area_um2"))
    return row | {"pore_area_near_limit": share_near_limit(ecd, area, um)}


def _describe_axes(columns: Columns, kept: Bools, word: str) -> Row:
    """Return the direction that long axes have in common."""
    angle, aspect, pixels = (
        columns[name] for name in ("orientation_deg", "aspect_ratio", "area_px")
    )
    found = axial_mean(np.radians(angle[kept & have_direction(angle, aspect, pixels)]))
    degrees = math.degrees(found.angle) % 180
    return {
        f"{word}_orientation_deg": 0.0 if degrees == 180 else degrees,
        f"{word}_orientation_strength": found.strength,
        f"{word}_orientation_p": found.p,
    }


def _describe_spacing(points: Floats, frame: tuple[float, float], word: str) -> Row:
    """Return how centroids lie to each other."""
    nearest = clark_evans(points, frame)
    row: Row = {f"{word}_clark_evans": nearest.index, f"{word}_clark_evans_p": nearest.p}
    if len(points) > 1:
        ripley = ripley_l(points, frame)
        row |= {
            f"{word}_ripley_radius_um": ripley.radii,
            f"{word}_ripley_l_um": ripley.l,
            f"{word}_ripley_critical_um": ripley.critical,
        }
    return row


# Measuring one mask: from the file to its instances, its sample and its row of the summary.


@dataclass(frozen=True)
class MeasuredImage:
    """All that is measured of one mask.

    Parameters
    ----------
    instances : Instances or pyarrow.Table
        A row per silt grain or pore, to be made or made.
    sample : Sample
        What it gives to groups.
    figures : dict
        The columns of its summary that a group of images has too.
    row : dict
        Its row of the summary, by column.
    warnings : dict of str to str
        What to know before its figures are used: kind, and the matter in words.
    """

    instances: Rows
    sample: Sample
    figures: dict[str, Any]
    row: dict[str, Any]
    warnings: dict[str, str]


def measure_image(
    name: str,
    mask: PhaseMask,
    pixel_size: PixelSize,
    min_silt_um: float,
    layers: Mapping[str, Reader] | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
    mapper: Map = map,
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

    Raises
    ------
    MudrockError
        If the mask cannot be read, holds values that are no phase, or no specimen at all.
    """
    is_small = partial(counts_as_clay, pixel_size.um, min_silt_um)
    cells = CellCounter(mask.shape, is_small)
    # Transforms and distance maps let go of Python's lock: they run beside everything else.
    with ThreadPoolExecutor(1) as beside:
        texture = beside.submit(measure_texture, read_windows(mask))
        labelling = label_mask(mask, layers=layers, cells=cells, advance=advance, mapper=mapper)
        if labelling.specimen is None:
            raise MudrockError(
                f"{mask.path or mask.name}: no specimen in it, all pixels are void",
                "segment the image again, or leave it out",
            )
        columns = survey_objects(labelling, pixel_size, min_silt_um)
        instances = Instances(name, labelling, columns, pixel_size, {"confidence": 255.0})
        sample = take_sample(columns, cells, pixel_size)
        figures = summarise([sample], min_silt_um)
        row = figures | describe_field(
            columns, cells, texture.result(), pixel_size, labelling.specimen
        )
    box, um = labelling.specimen, pixel_size.um
    frame_um = box.height * um, box.width * um
    warnings = caution_figures(figures, [sample]) | caution_field(row, frame_um)
    row |= {
        "scope": "image",
        "image": name,
        "height_px": mask.shape[0],
        "width_px": mask.shape[1],
        "warnings": list(warnings.values()),
        "provenance": json.dumps(dict(mask.provenance), sort_keys=True, ensure_ascii=False),
    }
    return MeasuredImage(instances, sample, figures, row, warnings)

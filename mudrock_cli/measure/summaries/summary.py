"""Summaries: the figures of one image, of a group of images, and of all together.

A summary is computed from samples, one or many, in the same way; what only makes sense within one
field (spacing, representativeness, texture) is added for single images by ``describe_field``.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mudrock_cli.image.phase import Phase
from mudrock_cli.measure.objects.hull import Floats
from mudrock_cli.measure.objects.runs import Ints
from mudrock_cli.measure.statistics.frame import describe_weights
from mudrock_cli.measure.statistics.grading import grade, weighted_percentiles
from mudrock_cli.measure.statistics.intervals import bootstrap_fraction, bootstrap_percentiles
from mudrock_cli.measure.statistics.resampling import Interval
from mudrock_cli.measure.statistics.stereology import STEP, lay_classes, unfold_sections
from mudrock_cli.measure.summaries.sample import Grains, Sample

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

"""What to know before figures are used, in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from mudrock_cli.measure.summaries.sample import Sample

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

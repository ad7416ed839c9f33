"""Rows of the summary for several images together: groups, pairs of groups, and all."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from mudrock_cli.image.phase import Phase
from mudrock_cli.measure.summaries.cautions import caution_figures
from mudrock_cli.measure.summaries.groups import compare_groups
from mudrock_cli.measure.summaries.sample import Sample
from mudrock_cli.measure.summaries.summary import block_sums, pool_grains, spread, summarise

Row = dict[str, Any]

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

"""What the intervals of `stats` cover, on fields of hard discs whose truth is known.

    python tests/benchmarks/statistics/intervals.py [--fields 600] [--cache FOLDER]

Draws fields of 10, 20 and 60 µm at 50 nm with 15 % silt and 8 % pores: of an even rock, and of one
whose fields differ (coefficient of variation 0.3 of porosity and 0.4 of silt). Puts them together
to samples of one to ten and prints how often the truth lies within, in percent, and the median
width of the interval over the truth. Takes a quarter of an hour.
"""

import argparse
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit, stdtrit

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "support"))

from discs import PIXEL_UM, PORES, SILT, Discs, draw_field

from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import Phase, PixelSize
from mudrock_cli.measure.cells import CellCounter
from mudrock_cli.measure.components import label_mask
from mudrock_cli.measure.groups import compare_fractions
from mudrock_cli.measure.instances import counts_as_clay, measure_objects
from mudrock_cli.measure.summary import (
    Field,
    Row,
    gather_field,
    number_blocks,
    pool_grains,
    sum_areas,
    summarise_fractions,
    summarise_sizes,
    warn_of_field,
)
from mudrock_cli.measure.uncertainty import FIELDS_DIFFER

TRUTH = {"porosity": 0.08, "silt_fraction": 0.15, "clay_fraction": 0.77}
MIN_SILT_UM = 2.0
SIDES = (10, 20, 60)
NUMBERS = (1, 2, 3, 5, 10)


def measure_field(phases: npt.NDArray[np.uint8], nm: float = 1000 * PIXEL_UM) -> Field:
    """Measure what `stats` takes for its intervals."""
    mask, size = PhaseMask.from_array("a", phases), PixelSize(nm, "drawn")
    cells = CellCounter(mask.shape, partial(counts_as_clay, size.um, MIN_SILT_UM))
    labelling = label_mask(mask, cells=cells)
    return gather_field(measure_objects(labelling, size, MIN_SILT_UM), cells, size)


def draw_fields(side_um: int, number: int, *, differ: bool) -> list[Field]:
    """Draw and measure fields of a rock."""
    rng = np.random.default_rng([side_um, differ])
    fields = []
    for _ in range(number):
        silt, pore = TRUTH["silt_fraction"], TRUTH["porosity"]
        if differ:
            silt, pore = rng.gamma(1 / 0.4**2, 0.4**2 * silt), rng.gamma(1 / 0.3**2, 0.3**2 * pore)
        fields.append(measure_field(draw_field(rng, side_um, silt, pore)))
    return fields


def draw_samples(fields: Sequence[Field], number: int, times: int = 400) -> Iterator[list[Field]]:
    """Put fields together to samples; a field is in few of them."""
    rng = np.random.default_rng(number)
    left: list[int] = []
    for _ in range(times):
        if len(left) < number:
            left = list(rng.permutation(len(fields)))
        yield [fields[left.pop()] for _ in range(number)]


def limits(row: Row, number: int, name: str, ending: str = "") -> tuple[float, float]:
    """Return the interval of a figure, within the field where there is one only."""
    stem = f"{name}_within_field" if number == 1 else name
    return row[f"{stem}_low{ending}"], row[f"{stem}_high{ending}"]


def true_percentiles(discs: Discs, basis: str) -> npt.NDArray[np.float64]:
    """Return D10, D50 and D90 of all discs, µm."""
    diameter = np.sort(discs.draw(np.random.default_rng(1), 1_000_000))
    weight = np.ones_like(diameter) if basis == "number" else diameter**2
    return np.interp((0.1, 0.5, 0.9), np.cumsum(weight) / weight.sum(), diameter)


def print_fractions(name: str, fields: Sequence[Field]) -> None:
    """Print the coverage and width of the intervals of fractions, and false differences."""
    for number in NUMBERS:
        samples = list(draw_samples(fields, number))
        rows = [summarise_fractions(sample, MIN_SILT_UM) for sample in samples]
        cells = [name, str(number)]
        for column, truth in TRUTH.items():
            low, high = np.array([limits(row, number, column) for row in rows]).T
            hit = np.mean((low <= truth) & (truth <= high))
            cells.append(f"{100 * hit:.1f} ({np.nanmedian(high - low) / truth:.2f})")
        if number > 1:
            pairs = [
                compare_fractions(s[:number], s[number:]) for s in draw_samples(fields, 2 * number)
            ]
            for column in TRUTH:
                low, high = np.array([limits(row, 2, f"{column}_difference") for row in pairs]).T
                cells.append(f"{100 * np.mean((low > 0) | (high < 0)):.1f}")
        else:
            cells += ["", "", ""]
        print(f"| {' | '.join(cells)} |", flush=True)


def print_trials(name: str, fields: Sequence[Field]) -> None:
    """Print coverage and width of what else was tried for fractions: Student alone, jackknife."""
    for number in (2, 3, 5):
        cells = [name, str(number)]
        for phase, truth in ((Phase.PORE, 0.08), (Phase.SILT, 0.15)):
            samples = [sum_areas(some, phase)[:2] for some in draw_samples(fields, number)]
            part, whole = np.moveaxis(np.array(samples), 1, 0)
            kept = part.sum(axis=1) > 0
            part, whole = part[kept], whole[kept]
            share = part.sum(axis=1) / whole.sum(axis=1)
            slope = share * (1 - share)
            apart = np.sum((part - share[:, None] * whole) ** 2, axis=1)
            ratio = np.sqrt(number / (number - 1) * apart) / whole.sum(axis=1) / slope
            left = (part.sum(axis=1)[:, None] - part) / (whole.sum(axis=1)[:, None] - whole)
            left = logit(np.clip(left, 1e-4, None))
            jackknife = np.sqrt((number - 1) * left.var(axis=1))
            prior = np.sqrt(((number - 1) * ratio**2 + FIELDS_DIFFER**2 / number) / number)
            for error, freedom in ((ratio, number - 1), (jackknife, number - 1), (prior, number)):
                reach = stdtrit(freedom, 0.975) * error
                low, high = expit(logit(share) - reach), expit(logit(share) + reach)
                hit = np.mean((low <= truth) & (truth <= high))
                cells.append(f"{100 * hit:.1f} ({np.median(high - low) / truth:.2f})")
        print(f"| {' | '.join(cells)} |", flush=True)


def print_percentiles(name: str, fields: Sequence[Field]) -> None:
    """Print how often a percentile has an interval, and how often that holds the truth."""
    for phase, word, discs in ((Phase.SILT, "silt", SILT), (Phase.PORE, "pore", PORES)):
        for number in (1, 2, 5, 10, 30, 100):
            if number > len(fields) / 10:
                continue
            rows = [
                summarise_sizes(pool_grains(sample, phase), word, number_blocks(sample))
                for sample in draw_samples(fields, number, 200)
            ]
            cells = [name, word, str(number)]
            for basis in ("number", "area"):
                truths = true_percentiles(discs, basis)
                for percent, truth in zip((10, 50, 90), truths, strict=True):
                    stem = f"{word}_ecd_d{percent}_{basis}"
                    low, high = np.array([limits(row, number, stem, "_um") for row in rows]).T
                    given = ~np.isnan(low)
                    hit = np.mean((low <= truth) & (truth <= high), where=given)
                    share = 100 * given.mean()
                    cells.append(f"{100 * hit:.0f} ({share:.0f})" if share > 5 else "–")
            print(f"| {' | '.join(cells)} |", flush=True)


def print_evenness(name: str, fields: Sequence[Field]) -> None:
    """Print how often fields are called uneven, those drawn and those of two beds."""
    row = {"silt_grains": 0, "small_silt_regions": 0, "min_silt_um": 2, "pore_area_near_limit": 0}
    side = int(name.split()[1])
    rng = np.random.default_rng(side)
    beds = []
    for _ in range(50):
        poor, rich = draw_field(rng, side, 0.05, 0.04), draw_field(rng, side, 0.25, 0.12)
        half = len(poor) // 2
        beds.append(measure_field(np.concatenate([poor[:half], rich[half:]])))
    cells = [name]
    for some in (fields, beds):
        kinds = [warn_of_field(row, field, (99, 99)) for field in some]
        for share in ("porosity", "silt fraction"):
            cells.append(f"{100 * np.mean([f'{share} uneven' in kind for kind in kinds]):.1f}")
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Draw, and print every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=600)
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    scenes: dict[str, list[Field]] = {}
    for differ in (False, True):
        for side in SIDES:
            number = options.fields if side < 60 else options.fields // 5
            name = f"{'differ' if differ else 'even'}, {side} µm"
            place = options.cache and options.cache / f"{name}-{number}.pkl"
            if place and place.is_file():
                scenes[name] = pickle.loads(place.read_bytes())
                continue
            scenes[name] = draw_fields(side, number, differ=differ)
            if place:
                place.write_bytes(pickle.dumps(scenes[name]))
    tables: list[tuple[str, str, Callable[[str, list[Field]], None]]] = [
        ("coverage % (width / truth); false differences %",
         "fields | n | porosity | silt | clay | Δ porosity | Δ silt | Δ clay", print_fractions),
        ("what else was tried: coverage % (width / truth) of Student's t alone, the jackknife, and "
         "one degree of freedom of what is expected at every n",
         "fields | n | porosity: t | jackknife | prior | silt: t | jackknife | prior",
         print_trials),
        ("coverage % (share of samples with an interval %)",
         "fields | of | n | D10 number | D50 | D90 | D10 area | D50 | D90", print_percentiles),
        ("called uneven %", "fields | porosity | silt | two beds: porosity | silt", print_evenness),
    ]  # fmt: skip
    for title, heading, show in tables:
        print(f"\n{title}\n\n| {heading} |\n|{' --- |' * (heading.count('|') + 1)}")
        for name, fields in scenes.items():
            show(name, fields)


if __name__ == "__main__":
    main()

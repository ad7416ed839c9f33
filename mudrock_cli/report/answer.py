"""The answer first: porosity and silt fraction in one sentence, and in large figures."""

from dataclasses import dataclass

from markupsafe import Markup

from mudrock_cli.report.tables import Row, Tables
from mudrock_cli.report.words import MISSING, format_length, format_number, format_share


@dataclass(frozen=True)
class Card:
    """A large figure with its interval.

    Parameters
    ----------
    phase : str
        ``pore`` or ``silt``, for the colour.
    title, figure, interval, note : str
        What, how much, from where to where, and what to know.
    """

    phase: str
    title: str
    figure: str
    interval: str
    note: str


def tell_answer(tables: Tables) -> Markup:
    """Return the answer as a sentence."""
    row, count = tables.pooled, len(tables.images)
    area = format_number(row["area_analysed_um2"], 3)
    where = f"{count} micrographs" if count > 1 else "this micrograph"
    parts = []
    for name, column in (("porosity", "porosity"), ("the silt fraction", "silt_fraction")):
        figure, interval = format_share(row, column)
        limits = Markup(" (95 % interval {})").format(interval) if interval else ""
        parts.append(Markup("{} is <b>{}</b>{}").format(name, figure, limits))
    return Markup("On {} µm² of {}, {} and {}.").format(area, where, *parts)


def list_cards(row: Row) -> list[Card]:
    """Return the large figures of a summary row."""
    least = f"{row['min_silt_um']:g} µm"
    pore_size, silt_size = (
        (figure, interval or ("no interval: too few objects" if figure != MISSING else ""))
        for figure, interval in (
            format_length(row, f"{phase}_ecd_d50_area") for phase in ("pore", "silt")
        )
    )
    pores, grains = f"{row['pores']:,}", f"{row['silt_grains']:,}"
    return [
        Card("pore", "Porosity", *format_share(row, "porosity"), f"{pores} pores"),
        Card(
            "silt",
            "Silt fraction",
            *format_share(row, "silt_fraction"),
            f"{grains} grains larger than {least}",
        ),
        Card(
            "pore",
            "Pore size, D50",
            *pore_size,
            "half of the pore area is in smaller pores",
        ),
        Card(
            "silt",
            "Silt size, D50",
            *silt_size,
            "half of the silt area is in smaller grains",
        ),
    ]

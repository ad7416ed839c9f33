"""What a model knows: how the micrographs that it was trained on look, and its doubt on them.

A network answers whatever it is shown. Where a micrograph looks unlike all that it learned from,
its mask may still be right, but no figure on the model's card speaks for it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mudrock_cli.deeplab.model.zoo import TrainedModel

from mudrock_cli.errors import MudrockError

MARGIN = 0.75
"""By how much of its width the span of the training micrographs is widened at either end.

Of the six micrographs of Kumano each stays inside what the other five span with this margin, its
doubt told by a network that never saw it; with 0.6 one would not.
"""

LEAST = 3
"""Fewer micrographs span nothing."""

DOUBT = "doubt"
BEND = "texture_bend"
_MOST_BEND = 4.0  # the slopes that it is the difference of lie between -2 and 2
Figures = Mapping[str, float | None]


@dataclass(frozen=True)
class Limits:
    """Between which values a figure is known; both included.

    Parameters
    ----------
    low, high : float
        The span of the training micrographs, widened by `MARGIN`.
    """

    low: float
    high: float

    def hold(self, value: float | None) -> bool:
        """Tell whether a value lies within; one that could not be measured does not."""
        return value is not None and self.low <= value <= self.high


Domain = Mapping[str, Limits]


def span_domain(figures: Iterable[Figures]) -> dict[str, Limits]:
    """Return what training micrographs span.

    Parameters
    ----------
    figures : iterable of mapping
        Of each micrograph: `mudrock_cli.image.appearance` and, of a network, ``doubt``, its mean
        entropy as a share of ln 3. A figure that one of them lacks is left out.

    Returns
    -------
    dict of str to Limits
        Empty where there are fewer than `LEAST` micrographs. No doubt is too small, and no bend of
        the texture too large: it tells that a picture is sharp and its grains are even.
    """
    rows = list(figures)
    found: dict[str, Limits] = {}
    if len(rows) < LEAST:
        return found
    for name in rows[0]:
        values = [value for row in rows if (value := row.get(name)) is not None]
        if len(values) == len(rows):
            margin = MARGIN * (max(values) - min(values))
            low = 0.0 if name == DOUBT else min(values) - margin
            high = _MOST_BEND if name == BEND else max(values) + margin
            found[name] = Limits(low, high)
    return found


def find_outside(domain: Domain, figures: Figures) -> list[str]:
    """Return the names of the figures that lie outside what the model knows."""
    return [name for name, limits in domain.items() if not limits.hold(figures.get(name))]


def tell_outside(domain: Domain, figures: Figures) -> str:
    """Say which figures lie outside, with their values and limits."""
    told = []
    for name in find_outside(domain, figures):
        value, limits = figures.get(name), domain[name]
        shown = "not measurable" if value is None else f"{value:.2f}"
        span = f"{limits.low:.2f} to {limits.high:.2f}"
        told.append(f"{name.replace('_', ' ')} {shown} ({span})")
    return ", ".join(told)


def read_domain(model: "TrainedModel") -> dict[str, Limits]:
    """Read what a model knows from its card; empty where the card does not tell.

    Raises
    ------
    MudrockError
        If the card tells it in another form than `write_domain` gives it.
    """
    try:
        found = {
            str(name): Limits(float(row["low"]), float(row["high"]))
            for name, row in model.card.get("domain", {}).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = "its domain is no table of low and high"
        raise MudrockError(f"{model.path}/card.json: {reason}", "train the model again") from error
    if not all(math.isfinite(row.low) and math.isfinite(row.high) for row in found.values()):
        reason = "its domain has limits that are not finite"
        raise MudrockError(f"{model.path}/card.json: {reason}", "train the model again")
    return found


def write_domain(domain: Domain) -> dict[str, dict[str, float]]:
    """Return what `read_domain` reads, JSON-able."""
    return {name: {"low": row.low, "high": row.high} for name, row in domain.items()}

"""The length that one pixel covers, and where that length was read."""

import math
import re
from dataclasses import dataclass
from typing import Self

from mudrock_cli.errors import MudrockError

_NM_PER_UNIT = {
    "pm": 1e-3,
    "å": 0.1,
    "angstrom": 0.1,
    "nm": 1.0,
    "um": 1e3,
    "µm": 1e3,  # micro sign
    "μm": 1e3,  # Greek mu
    "micron": 1e3,
    "microns": 1e3,
    "micrometer": 1e3,
    "micrometre": 1e3,
    "nanometer": 1.0,
    "nanometre": 1.0,
    "picometer": 1e-3,
    "millimeter": 1e6,
    "centimeter": 1e7,
    "meter": 1e9,
    "mm": 1e6,
    "cm": 1e7,
    "m": 1e9,
}
_LENGTH = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([^\s\d.]+)\s*")


@dataclass(frozen=True)
class PixelSize:
    """Side of a square pixel on the specimen.

    Parameters
    ----------
    nm : float
        Nanometres per pixel, finite and positive.
    source : str
        Where the number was read, for example ``"FEI tag 34682 [Scan] PixelWidth"``.

    Raises
    ------
    MudrockError
        If `nm` is not a positive finite number or `source` is empty.
    """

    nm: float
    source: str

    def __post_init__(self) -> None:
        if not (math.isfinite(self.nm) and self.nm > 0):
            raise MudrockError(f"a pixel size of {self.nm} nm is impossible ({self.source})")
        if not self.source:
            raise MudrockError("a pixel size needs a source")

    @property
    def um(self) -> float:
        """Micrometres per pixel."""
        return self.nm / 1e3

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """Read a length with its unit, such as ``10nm`` or ``0.01 um``.

        Parameters
        ----------
        text : str
            A number and a unit of length.
        source : str
            Where the text comes from.

        Raises
        ------
        MudrockError
            If the text is no length, or the length is not positive.
        """
        match = _LENGTH.fullmatch(text)
        unit = _NM_PER_UNIT.get(match[2].lower()) if match else None
        if match is None or unit is None:
            raise MudrockError(
                f"cannot read the length {text!r} ({source})",
                "write a number and a unit, for example 10nm or 0.01um",
            )
        return cls(float(match[1]) * unit, source)

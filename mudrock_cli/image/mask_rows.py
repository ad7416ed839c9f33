"""The rows of a mask on their way into a file, whatever its format."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mudrock_cli.image.phase import Phase

_IS_PHASE = np.isin(np.arange(256), [int(phase) for phase in Phase])


class MaskRows:
    """Takes the rows of a mask from top to bottom, and looks at them.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the mask.
    provenance : mapping
        Values that JSON can hold. The attribute `provenance` may be completed until the end.
    append : callable
        ``append(rows, phases)`` writes the rows that a slice tells.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        provenance: Mapping[str, Any],
        append: Callable[[slice, npt.NDArray[np.uint8]], None],
    ) -> None:
        self.provenance: dict[str, Any] = dict(provenance)
        self._shape, self._append = shape, append
        self._done = 0

    def write_rows(self, phases: npt.NDArray[np.uint8]) -> None:
        """Append a band.

        Parameters
        ----------
        phases : ndarray of uint8, shape (rows, columns)
            The next rows, as wide as the mask.

        Raises
        ------
        ValueError
            If it is of another type or width, holds values that are no phase, or is too high.
        """
        height, width = self._shape
        if phases.ndim != 2 or phases.shape[1] != width or phases.dtype != np.uint8:
            raise ValueError(f"a band of {phases.dtype} {phases.shape} in a mask {self._shape}")
        if not _IS_PHASE[phases].all():
            raise ValueError(f"a band holds values that are no phase: {np.unique(phases)}")
        rows = slice(self._done, self._done + len(phases))
        if rows.stop > height:
            raise ValueError(f"{rows.stop} rows in a mask of {height}")
        self._done = rows.stop
        if len(phases):
            self._append(rows, phases)

    def check_end(self) -> None:
        """Refuse to close a mask whose rows are not all there.

        Raises
        ------
        ValueError
            If some are missing.
        """
        if self._done != self._shape[0]:
            raise ValueError(f"{self._done} of {self._shape[0]} rows were written")

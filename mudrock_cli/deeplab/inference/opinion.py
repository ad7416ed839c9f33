"""Another method's say in what the network sees."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.inference.engine import Probabilities
from mudrock_cli.image.bands import Rows
from mudrock_cli.image.micrograph import Micrograph


class Opinion:
    """What another method votes for, and how much it counts.

    Parameters
    ----------
    bands : iterator of ndarray of uint8
        Votes on the specimen's rows from top to bottom, in bands of any height: rows of `shares`.
    shares : ndarray of float32, shape (votes, 3)
        How a vote is divided among clay, silt and pore.
    weights : tuple of float
        By how much an undivided vote shifts logarithms of probabilities, as evidence that is taken
        as independent of the network's. A vote for clay takes the first from silt, one for silt the
        second from clay, either adds the third to both: there is no pore. A vote for pore adds the
        fourth to pore.
    tells_silt : bool
        Whether it can tell silt from clay. If not, either means only that there is no pore.
    """

    def __init__(
        self,
        bands: Iterator[npt.NDArray[np.uint8]],
        shares: npt.NDArray[np.float32],
        weights: tuple[float, float, float, float],
        *,
        tells_silt: bool = True,
    ) -> None:
        self.shares, self.weights, self.tells_silt = shares, weights, tells_silt
        self._votes = Rows(bands)
        clay, silt, solid, pore = weights
        if not tells_silt:
            clay = silt = 0.0
        # What is said (row) for what is there (column).
        evidence = np.array([[solid, solid - clay, 0], [solid - silt, solid, 0], [0, 0, pore]])
        self._factors = np.exp(shares @ evidence).astype(np.float32)

    def weigh(self, probabilities: Probabilities) -> Probabilities:
        """Weigh the next rows, shape (rows, columns, 3); returns probabilities that sum to 1."""
        weighed: Probabilities = probabilities * self._factors[self.take(len(probabilities))]
        weighed /= weighed.sum(axis=2, keepdims=True)
        return weighed

    def take(self, rows: int) -> npt.NDArray[np.uint8]:
        """Return the votes on the next rows, shape (rows, columns)."""
        return self._votes.take(rows)


Ask = Callable[[Micrograph], Opinion | None]
"""Gives another method's opinion of a micrograph, if it has one."""

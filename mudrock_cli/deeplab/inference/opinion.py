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
    bonus : tuple of float
        What an undivided vote for clay, silt or pore adds to the logarithm of that phase's
        probability: evidence that is taken as independent of the network's.
    tells_silt : bool
        Whether it can tell silt from clay. If not, either means that there is no pore, and adds
        the bonus of clay to both.
    """

    def __init__(
        self,
        bands: Iterator[npt.NDArray[np.uint8]],
        shares: npt.NDArray[np.float32],
        bonus: tuple[float, float, float],
        *,
        tells_silt: bool = True,
    ) -> None:
        self.shares, self.bonus, self.tells_silt = shares, bonus, tells_silt
        self._votes = Rows(bands)
        evidence = np.diag(bonus)  # what is said (row) for what is there (column)
        if not tells_silt:
            evidence[:2, :2] = bonus[0]
        self._factors = np.exp(shares @ evidence).astype(np.float32)

    def weigh(self, probabilities: Probabilities) -> Probabilities:
        """Weigh the next rows, shape (rows, columns, 3); returns probabilities that sum to 1."""
        weighed = probabilities * self._factors[self.take(len(probabilities))]
        weighed /= weighed.sum(axis=2, keepdims=True)
        return weighed

    def take(self, rows: int) -> npt.NDArray[np.uint8]:
        """Return the votes on the next rows, shape (rows, columns)."""
        return self._votes.take(rows)


Ask = Callable[[Micrograph], Opinion | None]
"""Gives another method's opinion of a micrograph, if it has one."""

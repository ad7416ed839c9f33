"""What surrounds a pore: matrix and several grains, or a single grain in which it lies."""

from dataclasses import dataclass

import numpy as np

from mudrock_cli.measure.objects.hull import Bools, Floats
from mudrock_cli.measure.objects.pieces import Pieces
from mudrock_cli.measure.objects.runs import Ints


@dataclass(frozen=True)
class Hosts:
    """The silt around each object; of use for pores.

    Parameters
    ----------
    grain : ndarray of int64, shape (N,)
        The grain that a pore shares most sides with (of equals the first); -1 for none.
    contact : ndarray of float64, shape (N,)
        Share of the pixel sides around the pore that face silt grains, 0 to 1.
    inside : ndarray of bool, shape (N,)
        Whether all sides face one and the same grain.
    """

    grain: Ints
    contact: Floats
    inside: Bools


def find_hosts(objects: Pieces, silt: Bools) -> Hosts:
    """Find the grains that pores touch.

    Parameters
    ----------
    objects : Pieces
        All objects of an image.
    silt : ndarray of bool, shape (N,)
        Which of them count as silt grains.
    """
    count = len(objects)
    pore, grain, sides = objects.contacts[:, silt[objects.contacts[1]]]
    order = np.lexsort((-grain, sides, pore))
    pore, grain, sides = pore[order], grain[order], sides[order]
    host = np.full(count, -1, np.int64)
    most = np.zeros(count, np.int64)
    # Sorted by sides, the grain with the most is written last and stays.
    host[pore], most[pore] = grain, sides
    shared = np.bincount(pore, sides, minlength=count)
    around = 2 * (objects.sums["ends_0"] + objects.sums["ends_90"])
    return Hosts(host, shared / around, most == around)

"""Phases of a specimen put back into the image file that it was read from."""

from collections.abc import Iterable, Iterator

import numpy as np

from mudrock_cli.classical.contrast import Grey
from mudrock_cli.image.enlargement import Distinct
from mudrock_cli.image.phase import Phase


def frame_phases(distinct: Distinct, bands: Iterable[Grey]) -> Iterator[Grey]:
    """Yield whole rows of a file's image, from those of its specimen: VOID around it.

    Parameters
    ----------
    distinct : Distinct
        What the workflow was shown of the file.
    bands : iterable of ndarray of uint8, shape (rows, columns)
        Phases of the specimen from top to bottom.
    """
    box, (height, width) = distinct.micrograph.specimen, distinct.micrograph.shape

    def around(rows: slice) -> Grey:
        return np.full((rows.stop - rows.start, width), Phase.VOID, np.uint8)

    done = box.top
    yield distinct.restore(around(slice(0, done)), slice(0, done))
    for phases in bands:
        rows = slice(done, done + len(phases))
        band = around(rows)
        band[:, box.columns] = phases
        yield distinct.restore(band, rows)
        done = rows.stop
    yield distinct.restore(around(slice(done, height)), slice(done, height))

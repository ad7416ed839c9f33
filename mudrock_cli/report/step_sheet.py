"""The contact sheet of `groundtruth`: what each step of the workflow makes of an image."""

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.image.window import Inside
from mudrock_cli.report.contact_sheet import Thumbnails, draw_contact_sheet
from mudrock_cli.report.overlay import draw_overlay_by_bands, save_overlay

if TYPE_CHECKING:
    from mudrock_cli.classical.bands import Band
    from mudrock_cli.classical.steps import Sight
    from mudrock_cli.image.mask import PhaseMask
    from mudrock_cli.image.micrograph import Micrograph


class StepSheet:
    """Collects the steps of one image, band by band.

    Parameters
    ----------
    micrograph : Micrograph
        What the workflow is shown; only its specimen is drawn.
    """

    def __init__(self, micrograph: "Micrograph") -> None:
        self._micrograph = micrograph
        self._thumbnails = Thumbnails(micrograph.specimen.shape)

    def watch(self, band: "Band", sight: "Sight") -> None:
        """Take in a band."""
        steps = {
            "1 micrograph": band.read(self._micrograph),
            "2 median, finest scale": sight.contrast.smooth,
            "3 closing, mean of the scales": sight.contrast.ceiling,
            "4 contrast: bottom-hat less top-hat": sight.relative,
            "5 pores: contrast above the threshold": 255 * sight.pores,
            "6 smooth solid": 255 * sight.solid,
            "7 smooth solid, eroded and dilated": 255 * sight.opened,
        }
        for title, picture in steps.items():
            self._thumbnails.add(title, band.rows.start, band.cut(picture))

    def save(self, path: Path, micrograph: "Micrograph", mask: "PhaseMask") -> None:
        """Write the sheet; the phases of the finished mask, on the file's micrograph, come last."""
        box, size = micrograph.specimen, micrograph.pixel_size
        pictures = self._thumbnails.pictures()
        grey, phases = (Inside(source.read, box) for source in (micrograph, mask))
        overlay = draw_overlay_by_bands(box.shape, grey, phases, size)
        shape = next(iter(pictures.values())).shape
        small = cv2.resize(overlay, shape[::-1], interpolation=cv2.INTER_AREA)
        panels: list[tuple[str, npt.NDArray[np.uint8]]] = [*pictures.items()]
        panels.append(("8 phases: grains chosen by size", np.asarray(small, np.uint8)))
        save_overlay(path, draw_contact_sheet(panels))

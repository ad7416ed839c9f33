"""``mudrock export``: masks to the files of other programs."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mudrock_cli.commands.options import Masks, PixelSizes, PixelSizeText, read_pixel_sizes
from mudrock_cli.errors import ExitCode, MudrockError

if TYPE_CHECKING:
    from mudrock_cli.files import Input
    from mudrock_cli.image.mask import PhaseMask
    from mudrock_cli.image.types import PixelSize
    from mudrock_cli.report.export import Labelled


_ENDINGS = {
    "geojson": ".geojson",
    "imagej-roi": ".roi.zip",
    "csv": ".objects.csv",
    "labels": ".labels.tif",
    "ome-zarr": ".instances.zarr",
}
_COCO = "objects.coco.json"


def export(
    masks: Masks,
    to: Annotated[
        Literal["geojson", "coco", "imagej-roi", "csv", "labels", "ome-zarr"],
        typer.Option(
            help="For QuPath, COCO tools, ImageJ's ROI Manager; a table; label images as TIFF or "
            "OME-Zarr, of any size."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Mirrors the masks' folders.")
    ] = Path("export"),
    pixel_size: PixelSizeText = None,
) -> None:
    """Write the grains and pores of masks for other programs.

    Outlines follow pixel sides and hold exactly the pixels of each object; labels are those of
    mudrock stats. COCO is one file for all masks, the others are a file for each.
    """
    from mudrock_cli.commands.batch import prepare_folders
    from mudrock_cli.files import MASK_SUFFIXES, find_inputs

    batch = _Batch(read_pixel_sizes(pixel_size))
    inputs = find_inputs(masks, suffixes=MASK_SUFFIXES, keep_masks=True)
    prepare_folders(out, inputs)
    if to == "coco":
        batch.write_coco(inputs, out / _COCO)
    else:
        for item in inputs:
            place = out / item.relative.parent / f"{item.relative.name}{_ENDINGS[to]}"
            with batch.going_on():
                batch.write(item, place, to)
    raise typer.Exit(ExitCode.SOME_FAILED if batch.failed else ExitCode.DONE)


class _Batch:
    """Masks on their way out; one that fails does not stop the others."""

    def __init__(self, pixel_sizes: PixelSizes) -> None:
        self.pixel_sizes = pixel_sizes
        self.failed = 0

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """Tell of a failure in a line, and go on."""
        try:
            yield
        except MudrockError as error:
            self.failed += 1
            typer.echo(f"error: {error.message}", err=True)
            if error.hint:
                typer.echo(f"hint: {error.hint}", err=True)

    def write(self, item: "Input", place: Path, to: str) -> None:
        """Write the file of one mask."""
        mask, size = self._open(item)
        if to == "ome-zarr":
            _write_zarr(place, mask, size)
            typer.echo(str(place))
            return
        writers: dict[str, Callable[[Path], None]] = {
            "geojson": lambda part: _write_geojson(part, _label(mask, size, item)),
            "imagej-roi": lambda part: _write_rois(part, _label(mask, size, item)),
            "csv": lambda part: _write_table(part, mask, size, item.relative.as_posix()),
            "labels": lambda part: _write_labels(part, mask, size),
        }
        _replace(place, writers[to])
        typer.echo(str(place))

    def write_coco(self, inputs: "Sequence[Input]", place: Path) -> None:
        """Write one file about all masks."""
        from mudrock_cli.report.export import to_coco

        text = to_coco(self._label_all(inputs))
        if self.failed < len(inputs):
            _replace(place, lambda part: _write_text(part, text))
            typer.echo(str(place))

    def _label_all(self, inputs: "Sequence[Input]") -> "Iterator[Labelled]":
        for item in inputs:
            with self.going_on():
                yield _label(*self._open(item), item)

    def _open(self, item: "Input") -> "tuple[PhaseMask, PixelSize | None]":
        from mudrock_cli.image.mask import open_mask

        mask = open_mask(item.path)
        return mask, self.pixel_sizes.choose(item, mask.pixel_size)


def _label(mask: "PhaseMask", size: "PixelSize | None", item: "Input") -> "Labelled":
    """Find the objects of a mask, numbered as ``mudrock stats`` numbers them."""
    import numpy as np

    from mudrock_cli.measure.components import label_mask
    from mudrock_cli.report.export import Labelled

    labelling = label_mask(mask)
    return Labelled(
        name=item.relative.as_posix(),
        file=item.path.name,
        labels=np.concatenate(list(labelling.paint(mask))),
        phases=labelling.objects.phase.astype(np.uint8),
        um=size.um if size else None,
    )


def _write_geojson(part: Path, image: "Labelled") -> None:
    from mudrock_cli.report.export import to_geojson

    _write_text(part, to_geojson(image))


def _write_rois(part: Path, image: "Labelled") -> None:
    from mudrock_cli.report.export import write_rois

    write_rois(part, image)


def _write_table(part: Path, mask: "PhaseMask", size: "PixelSize | None", name: str) -> None:
    from pyarrow import csv

    from mudrock_cli.measure.components import label_mask
    from mudrock_cli.measure.instances import measure_instances

    if size is None:
        raise MudrockError(
            f"{mask.path}: the pixel size is not known", "give it: --pixel-size 10nm"
        )
    table = measure_instances(name, label_mask(mask), size, min_silt_um=2.0)
    csv.write_csv(table, part)


def _write_labels(part: Path, mask: "PhaseMask", size: "PixelSize | None") -> None:
    from mudrock_cli.image.tiff import write_plane
    from mudrock_cli.measure.components import label_mask

    labelling = label_mask(mask)
    write_plane(part, mask.shape, labelling.label_type, labelling.paint(mask), size)


def _write_zarr(place: Path, mask: "PhaseMask", size: "PixelSize | None") -> None:
    from mudrock_cli.image.ome_zarr import write_instances
    from mudrock_cli.measure.components import label_mask

    labelling = label_mask(mask)
    bands = labelling.paint(mask)
    write_instances(place, mask.shape, labelling.label_type, bands, size, mask.provenance)


def _write_text(part: Path, text: str) -> None:
    part.write_text(text, encoding="utf-8")


def _replace(place: Path, write: Callable[[Path], None]) -> None:
    """Write a file beside its place and move it there."""
    from mudrock_cli.files import atomic_write

    with atomic_write(place, "choose another --out, or make room") as part:
        write(part)

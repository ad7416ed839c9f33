"""What other programs read: QuPath's GeoJSON, COCO, ImageJ's regions.

Coordinates are pixels of the full image, x to the right and y down from the upper left corner of
the first pixel.
"""

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pyarrow import csv

from mudrock_cli.errors import MudrockError
from mudrock_cli.files import atomic_write
from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.ome_zarr import write_instances
from mudrock_cli.image.tiff import write_plane
from mudrock_cli.image.types import COLOURS, Phase, PixelSize
from mudrock_cli.measure.components import label_mask
from mudrock_cli.measure.instances import measure_instances

if TYPE_CHECKING:
    from shapely import MultiPolygon, Polygon

Labels = npt.NDArray[np.uint32]

ENDINGS = {
    "geojson": ".geojson",
    "imagej-roi": ".roi.zip",
    "csv": ".objects.csv",
    "labels": ".labels.tif",
    "ome-zarr": ".instances.zarr",
}
"""What the name of a file of one image ends in, by format."""

MIN_SILT_UM = 2.0
WRITE_HINT = "choose another --out, or make room"
IMAGEJ_SIDE = 32767
"""ImageJ keeps corners as 16-bit numbers with sign."""


@dataclass(frozen=True)
class Labelled:
    """The objects of one image.

    Parameters
    ----------
    name : str
        Name of the image.
    file : str
        Its file name.
    labels : ndarray of uint32, shape (H, W)
        Label of each pixel, 0 for none.
    phases : ndarray of uint8, shape (N,)
        Phase of label i + 1.
    um : float or None
        Side of a pixel, µm, where it is known.
    """

    name: str
    file: str
    labels: Labels
    phases: npt.NDArray[np.uint8]
    um: float | None

    def phase(self, label: int) -> Phase:
        """Return the phase of a label."""
        return Phase(int(self.phases[label - 1]))


def label_objects(mask: PhaseMask, pixel_size: PixelSize | None, name: str, file: str) -> Labelled:
    """Find the objects of a mask, numbered as ``mudrock stats`` numbers them."""
    labelling = label_mask(mask)
    return Labelled(
        name=name,
        file=file,
        labels=np.concatenate(list(labelling.paint(mask))),
        phases=labelling.objects.phase.astype(np.uint8),
        um=pixel_size.um if pixel_size else None,
    )


def write_objects(
    path: Path, to: str, mask: PhaseMask, pixel_size: PixelSize | None, name: str
) -> None:
    """Write the objects of one mask, beside their place, and move them there.

    Parameters
    ----------
    path : Path
        Target.
    to : str
        A key of `ENDINGS`.
    mask : PhaseMask
        The mask.
    pixel_size : PixelSize or None
        Side of its pixels.
    name : str
        Name of its image.

    Raises
    ------
    MudrockError
        If the file cannot be written, or a format needs what there is not: a table the pixel
        size, ImageJ's regions a smaller image.
    """
    if to == "ome-zarr":
        labelling = label_mask(mask)
        kind, bands = labelling.label_type, labelling.paint(mask)
        write_instances(path, mask.shape, kind, bands, pixel_size, mask.provenance)
        return
    if to == "csv" and pixel_size is None:
        hint = "give it: --pixel-size 10nm"
        raise MudrockError(f"{mask.path}: the pixel size is not known", hint)
    with atomic_write(path, WRITE_HINT) as part:
        if to == "labels":
            labelling = label_mask(mask)
            kind, bands = labelling.label_type, labelling.paint(mask)
            write_plane(part, mask.shape, kind, bands, pixel_size)
        elif to == "csv" and pixel_size is not None:
            table = measure_instances(name, label_mask(mask), pixel_size, MIN_SILT_UM)
            csv.write_csv(table, part)
        else:
            image = label_objects(mask, pixel_size, name, mask.path.name if mask.path else name)
            if to == "imagej-roi":
                _write_rois(part, image)
            else:
                part.write_text(_to_geojson(image), encoding="utf-8")


def trace_outlines(labels: Labels) -> "Iterator[tuple[int, Polygon | MultiPolygon]]":
    """Trace the outlines of all objects along pixel sides: they hold exactly the object's pixels.

    Parameters
    ----------
    labels : ndarray of uint32, shape (H, W)
        0 is no object.

    Yields
    ------
    label : int
        Rising.
    outline : shapely.Polygon or shapely.MultiPolygon
        Corners (x, y) only where the direction changes; several parts where some touch at
        corners only.
    """
    import shapely

    width = labels.shape[1] + 1
    flat = np.pad(labels, ((0, 0), (0, 1))).ravel()
    change = np.flatnonzero(np.diff(flat, prepend=np.uint32(0)))
    begins = flat[change] != 0
    start, end = change[begins], change[1:][begins[:-1]]
    order = np.argsort(flat[start], kind="stable")
    start, end = start[order], end[order]
    owner = flat[start]
    row, left = np.divmod(start, width)
    right = left + end - start
    first = np.flatnonzero(np.diff(owner, prepend=np.uint32(0)))
    for runs in np.split(np.arange(len(owner)), first[1:]) if len(owner) else ():
        boxes = shapely.box(left[runs], row[runs], right[runs], row[runs] + 1)
        yield int(owner[runs[0]]), shapely.simplify(shapely.union_all(boxes), 0)


def _to_geojson(image: Labelled) -> str:
    """Return the objects of an image as GeoJSON that QuPath imports as detections."""
    from shapely.geometry import mapping

    areas = np.bincount(image.labels.ravel(), minlength=len(image.phases) + 1)
    features = []
    for label, outline in trace_outlines(image.labels):
        phase = image.phase(label)
        measures: dict[str, float] = {"label": label, "area px": int(areas[label])}
        if image.um is not None:
            area = float(areas[label]) * image.um**2
            measures |= {"area µm²": area, "ECD µm": float(np.sqrt(4 * area / np.pi))}
        features.append(
            {
                "type": "Feature",
                "id": f"{image.name}-{label}",
                "geometry": _to_whole_numbers(mapping(outline)),
                "properties": {
                    "objectType": "detection",
                    "name": f"{phase.name.lower()} {label}",
                    "classification": {"name": phase.name.lower(), "color": list(COLOURS[phase])},
                    "measurements": measures,
                },
            }
        )
    return _to_json({"type": "FeatureCollection", "features": features})


def _to_whole_numbers(geometry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a geometry with corners as whole numbers: half the file."""

    def convert(part: Any) -> Any:
        return int(part) if isinstance(part, float) else [convert(each) for each in part]

    return {"type": geometry["type"], "coordinates": convert(geometry["coordinates"])}


def to_coco(images: Iterable[Labelled]) -> str:
    """Return the objects of all images as one COCO file, masks as run lengths: areas are exact."""
    pictures: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image in images:
        height, width = image.labels.shape
        number = len(pictures) + 1
        pictures.append({"id": number, "file_name": image.file, "width": width, "height": height})
        for label, counts, box in _encode_runs(image.labels):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(image.phase(label)),
                    "segmentation": {"size": [height, width], "counts": counts},
                    "area": sum(counts[1::2]),
                    "bbox": box,
                    "iscrowd": 0,
                    "label": label,
                }
            )
    categories = [
        {"id": int(phase), "name": phase.name.lower()} for phase in (Phase.SILT, Phase.PORE)
    ]
    return _to_json({"images": pictures, "annotations": annotations, "categories": categories})


def _encode_runs(labels: Labels) -> Iterator[tuple[int, list[int], list[int]]]:
    """Yield label, run lengths down the columns (COCO's), and bounding box of each object."""
    height = labels.shape[0]
    flat = labels.T.ravel()
    place = np.flatnonzero(flat)
    place = place[np.argsort(flat[place], kind="stable")]
    owner = flat[place]
    begins = np.flatnonzero(np.diff(owner, prepend=np.uint32(0)))
    for own in np.split(place, begins[1:]) if len(place) else []:
        # A run goes on while the position does; it may go on into the next column.
        first = np.flatnonzero(np.diff(own, prepend=-2) != 1)
        size = np.diff(first, append=len(own))
        gaps = own[first] - np.append(0, (own[first] + size)[:-1])
        counts: list[int] = np.stack([gaps, size], axis=1).ravel().tolist()
        last = flat.size - int(own[-1]) - 1
        rows, columns = own % height, own // height
        top, left = int(rows.min()), int(columns.min())
        box = [left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1]
        yield int(flat[own[0]]), [*counts, last] if last else counts, box


def _write_rois(path: Path, image: Labelled) -> None:
    """Write the objects of an image as a zip of ImageJ regions, for the ROI Manager."""
    if max(image.labels.shape) > IMAGEJ_SIDE:
        raise MudrockError(
            f"{image.file}: ImageJ's regions end at {IMAGEJ_SIDE} pixels",
            "use --to geojson or --to labels",
        )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for label, outline in trace_outlines(image.labels):
            phase = image.phase(label)
            name = f"{phase.name.lower()}-{label:06}"
            archive.writestr(f"{name}.roi", _to_roi(name, outline, bytes((255, *COLOURS[phase]))))


def _to_roi(name: str, outline: "Polygon | MultiPolygon", colour: bytes) -> bytes:
    """Return an ImageJ region: a traced outline, or a composite where there are holes or parts."""
    import shapely
    from roifile import ROI_TYPE, ImagejRoi

    rings = [
        shapely.get_coordinates(ring)[:-1].astype(np.int64)
        for part in shapely.get_parts(outline)
        for ring in (part.exterior, *part.interiors)
    ]
    roi = ImagejRoi.frompoints(rings[0], name=name)
    roi.roitype = ROI_TYPE.TRACED
    roi.stroke_color = colour
    if len(rings) > 1:
        roi.roitype = ROI_TYPE.RECT
        roi.left, roi.top, roi.right, roi.bottom = (int(side) for side in outline.bounds)
        roi.n_coordinates = 0
        roi.integer_coordinates = None
        roi.multi_coordinates = np.concatenate([_to_path(ring) for ring in rings])
        roi.shape_roi_size = len(roi.multi_coordinates)
    data: bytes = roi.tobytes()
    return data


def _to_path(ring: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return a ring as ImageJ's path: 0 x y moves, 1 x y draws, 4 closes."""
    steps = np.ones((len(ring), 3), np.float32)
    steps[0, 0] = 0
    steps[:, 1:] = ring
    return np.append(steps.ravel(), np.float32(4))


def _to_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)

"""Find which label mask belongs to which micrograph in a folder of labelled data."""

from dataclasses import dataclass
from pathlib import Path

from mudrock_cli.errors import UsageError
from mudrock_cli.image.inputs import IMAGE_SUFFIXES, MASK_SUFFIXES, walk_images
from mudrock_cli.image.ngff.folder import is_image

_LAYOUTS = (
    ("images", "labels"),
    ("JPEGImages", "SegmentationClassRaw"),
    ("JPEGImages", "SegmentationClass"),
)
_SIDE_OUTPUTS = (".overlay", ".confidence", ".instances", ".probability")  # of `segment --save`


@dataclass(frozen=True)
class Pair:
    """A label mask and the micrograph it belongs to.

    Parameters
    ----------
    name : str
        Path below the folder of labels without its suffix, such as ``kumano_11`` or ``sub/a``.
    label : Path
        The mask.
    image : Path or None
        The micrograph; None when the folder holds masks only, or this one's is missing.
    """

    name: str
    label: Path
    image: Path | None


def find_pairs(data: Path) -> list[Pair]:
    """Find the label masks of a folder, sorted by name, each with its micrograph if there is one.

    Parameters
    ----------
    data : Path
        A folder with ``images/`` and ``labels/``, one in PASCAL VOC layout (``JPEGImages/`` and
        ``SegmentationClassRaw/`` or ``SegmentationClass/``), or a folder of masks.

    Raises
    ------
    UsageError
        If it is no folder or holds no mask, or two masks have the same name.
    """
    if not data.is_dir():
        raise UsageError(
            f"{data}: no such folder",
            "give a folder with images/ and labels/, or a folder of label masks",
        )
    for images, labels in _LAYOUTS:
        if (data / labels).is_dir():
            return _pair(data / labels, data / images)
    return _pair(data, None)


def find_partner(folder: Path, name: str) -> Path | None:
    """Return the mask called `name` below `folder`, or None; an OME-Zarr may be it itself."""
    if is_image(folder):
        return folder if folder.stem == Path(name).name else None
    for suffix in MASK_SUFFIXES:
        for path in (folder / f"{name}{suffix}", folder / f"{name}{suffix.upper()}"):
            if is_image(path):
                return path
    return None


def _pair(labels: Path, images: Path | None) -> list[Pair]:
    masks = _list_files(labels, MASK_SUFFIXES)
    if not masks:
        raise UsageError(
            f"{labels}: no label mask in it", "masks are TIFF, PNG or BMP files, or OME-Zarr"
        )
    found = _list_files(images, IMAGE_SUFFIXES) if images and images.is_dir() else {}
    return [Pair(name, path, found.get(name)) for name, path in sorted(masks.items())]


def _list_files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in sorted(walk_images(folder)):
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name.endswith(_SIDE_OUTPUTS):
            continue
        if name in files:
            raise UsageError(
                f"{path} and {files[name].name} have the same name", "keep one of the two"
            )
        files[name] = path
    return files

"""The masks and micrographs behind a table, found again for the viewers."""

from dataclasses import dataclass
from pathlib import Path

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.checksum import hash_file
from mudrock_cli.image.inputs import walk_images
from mudrock_cli.image.mask import PhaseMask, open_mask
from mudrock_cli.image.micrograph import Micrograph, open_micrograph
from mudrock_cli.image.ngff.folder import is_image
from mudrock_cli.report.tables import Row, Tables, read_provenance


@dataclass(frozen=True)
class Source:
    """What there is to look at of one image.

    Parameters
    ----------
    mask : PhaseMask or None
        None where it was not found or is another one by now.
    micrograph : Micrograph or None
        None where it was not found.
    missing : str
        Why there is no mask, or no micrograph; empty where both are there.
    """

    mask: PhaseMask | None
    micrograph: Micrograph | None
    missing: str = ""


def find_source(tables: Tables, row: Row, micrographs: Path | None) -> Source:
    """Find the mask and the micrograph of an image.

    Parameters
    ----------
    tables : Tables
        The tables; paths count from their folder.
    row : Row
        Summary row of the image.
    micrographs : Path or None
        Folder of micrographs, searched with its subfolders; before the place that `row` tells.
    """
    place = tables.locate(row["mask"]) if row["mask"] else None
    shape = (row["height_px"], row["width_px"])
    if place is None or not is_image(place):
        return Source(None, None, f"The mask {row['mask'] or ''} was not found.")
    try:
        mask = open_mask(place)
        same = row["mask_sha256"] in (None, hash_file(place))
    except (MudrockError, OSError) as error:
        return Source(None, None, f"The mask cannot be read: {error}.")
    if mask.shape != shape or not same:
        return Source(None, None, f"The mask {row['mask']} has changed since it was measured.")
    for path in _candidates(tables, row, micrographs, place):
        try:
            micrograph = open_micrograph(path)
        except MudrockError:
            continue
        if micrograph.shape == shape:
            return Source(mask, micrograph)
    return Source(mask, None, "The micrograph was not found.")


def _candidates(tables: Tables, row: Row, micrographs: Path | None, mask: Path) -> list[Path]:
    """Return where the micrograph may be, the likeliest first."""
    told = read_provenance(row).get("input")
    name = Path(str(told.get("name", "")) if isinstance(told, dict) else "").name
    places = []
    if micrographs is not None:
        stem = Path(row["image"]).name
        found = sorted(walk_images(micrographs))
        places += [path for path in found if path.name == name]
        places += [path for path in found if path.stem == stem and path.name != name]
    if row["micrograph"]:
        places.append(tables.locate(row["micrograph"]))
    if name:
        places += [folder / name for folder in (mask.parent, mask.parent.parent)]
    others = [path for path in places if is_image(path) and path.resolve() != mask.resolve()]
    return [*others, mask] if mask.is_dir() else others  # an OME-Zarr may hold the micrograph too

"""Which label belongs to which micrograph, in every layout that training takes."""

from dataclasses import dataclass
from pathlib import Path

from mudrock_cli.errors import UsageError
from mudrock_cli.image.checksum import hash_file
from mudrock_cli.image.inputs import find_inputs
from mudrock_cli.image.mask import open_mask
from mudrock_cli.image.mask_metadata import is_mudrock_mask
from mudrock_cli.image.pairs import Pair, find_pairs
from mudrock_cli.image.texts import read_text

_LABEL_FOLDERS = ("labels", "SegmentationClassRaw", "SegmentationClass")


@dataclass(frozen=True)
class Pairing:
    """Pairs of a folder, and what stands alone there.

    Parameters
    ----------
    pairs : tuple of Pair
        Every label, sorted by name; its image is None where that is missing.
    unlabelled : tuple of Path
        Micrographs without a label.
    """

    pairs: tuple[Pair, ...]
    unlabelled: tuple[Path, ...]


def pair_files(data: Path) -> Pairing:
    """Pair labels and micrographs of a folder.

    Parameters
    ----------
    data : Path
        ``images/`` and ``labels/``; the PASCAL VOC layout, where ``ImageSets/*.txt`` say which
        names count; or micrographs with masks that mudrock wrote anywhere beside or below them.

    Raises
    ------
    UsageError
        If it is no folder, or holds no label.
    """
    if any((data / folder).is_dir() for folder in _LABEL_FOLDERS):
        pairs = find_pairs(data)
        listed = read_image_sets(data)
        if listed:
            named = {name for names in listed.values() for name in names}
            pairs = [pair for pair in pairs if pair.name in named]
        images = [folder for folder in ("images", "JPEGImages") if (data / folder).is_dir()]
        return Pairing(tuple(pairs), _unlabelled(data / images[0], pairs) if images else ())
    if not data.is_dir():
        raise UsageError(f"{data}: no such folder", "give a folder with images/ and labels/")
    return _pair_by_provenance(data)


def read_image_sets(data: Path) -> dict[str, list[str]]:
    """Return the names in each ``ImageSets/*.txt`` of the PASCAL VOC layout, by list.

    Raises
    ------
    MudrockError
        If a list cannot be read as text.
    """
    found = {}
    for path in sorted((data / "ImageSets").glob("**/*.txt")):
        lines = read_text(path).splitlines()
        found[path.stem] = [line.split()[0] for line in lines if line.strip()]
    return found


def _unlabelled(images: Path, pairs: list[Pair]) -> tuple[Path, ...]:
    used = {pair.image for pair in pairs}
    try:
        found = find_inputs([str(images)])
    except UsageError:
        return ()
    return tuple(item.path for item in found if item.path not in used)


def _pair_by_provenance(data: Path) -> Pairing:
    """Pair masks with the very files they were made from, by the hash that they carry."""
    files = [item.path for item in find_inputs([str(data)], keep_masks=True)]
    masks = [path for path in files if is_mudrock_mask(path)]
    images = [path for path in files if path not in set(masks)]
    if not masks:
        raise UsageError(
            f"{data}: no labels in it", "give a folder with images/ and labels/, one file each"
        )
    by_hash = {hash_file(path): path for path in images}
    pairs = []
    for path in masks:
        made_from = open_mask(path).provenance.get("input")
        told = made_from.get("sha256") if isinstance(made_from, dict) else None
        image = by_hash.get(str(told))
        name = path.relative_to(data).with_suffix("").as_posix()
        pairs.append(Pair(name, path, image))
    pairs.sort(key=lambda pair: pair.name)
    return Pairing(tuple(pairs), _unlabelled(data, pairs))

"""Each reader on a file: what it did, in the words of the tally."""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

_BAND_PIXELS = 1 << 20
_MOST_WINDOWS = 20


def read(kind: str, path: Path) -> dict[str, Any]:
    """Read a file as a command would, and tell what came of it.

    Returns
    -------
    dict
        ``result``: ``read`` or ``refused``; ``nm``; ``note``: what a user would be told; or
        ``failure``: what should never happen.
    """
    from mudrock_cli.errors import MudrockError

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            told = {"result": "read", **(_READERS[kind](path) or {})}
        except MudrockError as error:
            told = {"result": "refused", "note": error.message, **_judge_refusal(path, error)}
        except Exception as error:
            import traceback

            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            told = {"failure": f"traceback: {type(error).__name__} {str(error)[:200]} at {where}"}
    if caught and not told.get("note"):
        told["note"] = f"{caught[0].category.__name__}: {caught[0].message}"[:200]
    return told


def _judge_refusal(path: Path, error: Exception) -> dict[str, str]:
    """Return a failure if a refusal is no line that names its file, or memory ran out first."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return {"failure": f"memory asked for: {str(cause)[:150]}"}
        cause = cause.__cause__ or cause.__context__
    if str(path.parent) not in str(error):
        return {"failure": f"refusal names no file: {str(error)[:150]}"}
    if "\n" in str(error) or len(str(error)) > 1000:
        return {"failure": f"refusal of {len(str(error))} letters: {str(error)[:150]!r}"}
    return {}


def _bands(shape: tuple[int, int]) -> list[tuple[slice, slice]]:
    """Return windows of about a megapixel that cover an image; of large ones the first few."""
    width = min(shape[1], _BAND_PIXELS)
    rows = max(1, _BAND_PIXELS // width)
    return [
        (slice(top, top + rows), slice(left, left + width))
        for top in range(0, shape[0], rows)
        for left in range(0, shape[1], width)
    ][:_MOST_WINDOWS]


def _read_micrograph(path: Path) -> dict[str, Any]:
    from mudrock_cli.image.micrograph import open_micrograph

    micrograph = open_micrograph(path)
    for rows, columns in _bands(micrograph.shape):
        micrograph.read(rows, columns)
    size = micrograph.pixel_size
    note = micrograph.instrument.get("pixel_size_note", "")
    return {"nm": size.nm if size else None, "note": note}


def _read_mask(path: Path) -> dict[str, Any]:
    from mudrock_cli.image.mask import open_mask

    mask = open_mask(path)
    for rows, columns in _bands(mask.shape):
        mask.read(rows, columns)
    return {"nm": mask.pixel_size.nm if mask.pixel_size else None}


def _read_tables(path: Path) -> None:
    from mudrock_cli.image.mask import PhaseMask
    from mudrock_cli.report.figures import pool_objects, split_objects
    from mudrock_cli.report.page import describe_making, list_facts
    from mudrock_cli.report.tables import read_tables
    from mudrock_cli.report.viewer import find_mask, find_micrograph

    tables = read_tables(path.parent / "report.parquet")
    pool_objects(list(split_objects(tables).values()))
    for row in tables.images:
        describe_making(row)
        list_facts(row)
        if isinstance(find_mask(tables, row), PhaseMask):
            find_micrograph(tables, row, None, print)


def _read_recipe(path: Path) -> None:
    from mudrock_cli.deeplab.recipe import load_recipe

    load_recipe(str(path))


def _read_workflow(path: Path) -> None:
    from mudrock_cli.classical.recipe import load_recipe

    load_recipe(str(path))


def _read_forest(path: Path) -> None:
    from mudrock_cli.classical.forest import Forest

    Forest.load(path.parent)


def _read_split(path: Path) -> None:
    from mudrock_cli.deeplab.split import read_parts

    read_parts(path)


def _read_groups(path: Path) -> None:
    from mudrock_cli.measure.groups import read_grouping

    read_grouping(str(path))


def _read_weights(path: Path) -> None:
    from mudrock_cli.files import read_named_arrays

    read_named_arrays(path)


def _read_model(path: Path) -> None:
    from mudrock_cli.deeplab.model import load_model

    model = load_model(str(path.parent))
    if not (model.temperature > 0 and model.digest):
        raise ValueError("a model without temperature or hash")


def _read_card(path: Path) -> None:
    path.rename(path.with_name("card.json"))
    _read_model(path)


_READERS: dict[str, Callable[[Path], dict[str, Any] | None]] = {
    "micrograph": _read_micrograph,
    "mask": _read_mask,
    "tables": _read_tables,
    "summary": _read_tables,
    "recipe": _read_recipe,
    "workflow": _read_workflow,
    "forest": _read_forest,
    "split": _read_split,
    "groups": _read_groups,
    "weights": _read_weights,
    "model": _read_model,
    "model-card": _read_card,
}


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", "ascii")


def _memory(line: str) -> int:
    """Return a line of ``/proc/self/status``, in bytes."""
    for entry in Path("/proc/self/status").read_text("ascii").splitlines():
        if entry.startswith(line):
            return int(entry.split()[1]) * 1024
    return 0


def serve() -> None:
    """Read files that the parent names on stdin, a JSON line each; answer alike on stdout."""
    import gc
    import json
    import resource
    import time

    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    answers = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        kind, path = json.loads(line)
        if kind == "warm":
            gc.freeze()  # so that looking for garbage does not look at all that is imported
        gc.collect()
        _reset_peak()
        before, start = _memory("VmRSS"), time.process_time()
        told = read(kind, Path(path)) if kind in _READERS else {}
        told["seconds"] = time.process_time() - start
        told["bytes"] = _memory("VmHWM") - before
        print(json.dumps(told), file=answers, flush=True)


if __name__ == "__main__":
    serve()

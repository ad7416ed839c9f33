"""Scanning-electron micrographs of mudrocks to phase masks, tables and reports.

The functions are those of the command line, for notebooks and programs; what they need is loaded
when they are first used:

    import mudrock_cli as mudrock

    mask = mudrock.segment("micrograph.tif", pixel_size="10nm")
    instances, summary = mudrock.stats(mask)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mudrock_cli.api import (
        groundtruth,
        load_model,
        open_mask,
        open_micrograph,
        segment,
        stats,
    )

__version__ = "0.1.0"

__all__ = ["groundtruth", "load_model", "open_mask", "open_micrograph", "segment", "stats"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("mudrock_cli.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

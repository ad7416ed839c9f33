"""The values that a recipe may hold: names that are known, numbers that make sense."""

import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

from mudrock_cli.errors import MudrockError

_CHOICES: dict[str, tuple[Any, ...]] = {
    "network.architecture": ("deeplab", "unet", "forest"),
    "network.encoder": ("resnet101", "resnet50", "mobilenetv2", "plain"),
    "network.output_stride": (8, 16, 32),
    "optimizer.name": ("momentum", "adamw"),
    "training.precision": ("float32", "mixed_bfloat16", "mixed_float16"),
    "training.keep": ("last", "best"),
    "inference.flips": (1, 2, 4),
}

_MOST_RATES = 8
_MOST_ZOOMS = 8
_MOST_CHANNELS = 4096  # of one layer: more are gigabytes of weights

# Smallest and largest value; lists: of each of their values. Booleans have none.
_LIMITS: dict[str, tuple[float, float]] = {
    "network.rates": (1, 64),
    "network.aspp_channels": (1, 1024),
    "network.low_level_channels": (1, 1024),
    "network.decoder_channels": (1, 1024),
    "network.detail_channels": (0, 1024),
    "network.outline_channels": (0, 256),
    "network.dropout": (0, 0.9),
    "network.batch_norm_decay": (0, 0.99999),
    "network.unet_channels": (1, 512),
    "network.unet_levels": (1, 6),
    "data.nm_per_pixel": (0.01, 1e6),
    "data.crop": (32, 8192),
    "data.tile": (0, 100_000),
    "data.images": (0, 10_000_000),
    "data.parts": (0, 1),
    "data.phantoms": (0, 10_000),
    "data.phantom_share": (0, 0.95),
    "augment.scale": (0.05, 20),
    "augment.brightness": (0, 255),
    "augment.contrast": (0, 0.95),
    "augment.gamma": (0, 3),
    "augment.seams": (0, 1),
    "augment.shading": (0, 255),
    "augment.noise": (0, 255),
    "augment.blur": (0, 50),
    "augment.curtaining": (0, 255),
    "augment.charging": (0, 255),
    "loss.class_weights": (0, 1000),
    "loss.dice": (0, 100),
    "loss.weight_decay": (0, 1),
    "optimizer.rate": (1e-12, 100),
    "optimizer.end_rate": (0, 100),
    "optimizer.power": (0.01, 10),
    "optimizer.decay_steps": (0, 1_000_000_000),
    "optimizer.momentum": (0, 0.9999),
    "optimizer.decoupled_decay": (0, 10),
    "optimizer.warmup_steps": (0, 100_000_000),
    "optimizer.clip_norm": (0, 1e9),
    "training.batch": (1, 4096),
    "training.epochs": (1, 1_000_000),
    "training.steps_per_epoch": (0, 100_000_000),
    "training.average": (0, 0.99999),
    "training.seed": (0, 2**32 - 1),
    "training.patience": (0, 1_000_000),
    "training.batch_norm_steps": (0, 1_000_000),
    "inference.tile": (32, 4096),
    "inference.overlap": (0, 4096),
    "inference.zooms": (0.1, 10),
    "inference.close_ups": (0.1, 10),
    "inference.adaptation": (0, 1),
    "inference.workflow": (0, 20),
}


def check_values(table: Mapping[str, Mapping[str, Any]], source: str) -> None:
    """Check that every value of a recipe lies in its range and fits the others.

    Parameters
    ----------
    table : mapping
        All sections of a recipe with all their keys, as `Recipe.to_dict` returns them.
    source : str
        Where the recipe comes from, for the message.

    Raises
    ------
    MudrockError
        For the first value that does not, with what is allowed.
    """
    for section, values in table.items():
        for key, value in values.items():
            name = f"{section}.{key}"
            if name in _CHOICES and value not in _CHOICES[name]:
                allowed = ", ".join(str(choice) for choice in _CHOICES[name])
                raise _refuse(source, name, value, f"known: {allowed}")
            if name in _LIMITS:
                low, high = _LIMITS[name]
                for number in value if isinstance(value, tuple) else (value,):
                    if not low <= number <= high:
                        raise _refuse(source, name, value, f"allowed: {low:g} to {high:g}")
    for name, value, allowed in _find_conflicts(table):
        raise _refuse(source, name, value, allowed)


def _refuse(source: str, name: str, value: Any, allowed: str) -> MudrockError:
    shown = reprlib.repr(list(value) if isinstance(value, tuple) else value)
    return MudrockError(f"{source}: {name} cannot be {shown}", allowed)


def _find_conflicts(table: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Any, str]]:
    """Yield values that are possible by themselves and impossible together."""
    network, data, inference = table["network"], table["data"], table["inference"]
    low, high = table["augment"]["scale"]
    if low > high:
        yield "augment.scale", (low, high), "the smaller value stands first"
    if not 1 <= len(network["rates"]) <= _MOST_RATES:
        yield "network.rates", network["rates"], f"1 to {_MOST_RATES} rates"
    deepest = network["unet_channels"] * 2 ** network["unet_levels"]
    if deepest > _MOST_CHANNELS:
        allowed = f"unet_channels x 2^unet_levels up to {_MOST_CHANNELS}"
        yield "network.unet_levels", network["unet_levels"], allowed
    fitting = {"deeplab": network["encoder"] != "plain", "unet": network["encoder"] == "plain"}
    if not fitting.get(network["architecture"], True):
        allowed = "deeplab: resnet101, resnet50, mobilenetv2; unet: plain"
        yield "network.encoder", network["encoder"], allowed
    if table["forest"] and network["architecture"] != "forest":
        yield "forest", table["forest"], 'only with network.architecture = "forest"'
    if (data["tile"][0] == 0) != (data["tile"][1] == 0):
        yield "data.tile", data["tile"], "rows and columns, or 0, 0 for whole micrographs"
    if not 1 <= len(inference["zooms"]) <= _MOST_ZOOMS:
        yield "inference.zooms", inference["zooms"], f"1 to {_MOST_ZOOMS} magnifications"
    if len(inference["close_ups"]) > _MOST_ZOOMS:
        allowed = f"up to {_MOST_ZOOMS} magnifications"
        yield "inference.close_ups", inference["close_ups"], allowed
    if data["phantoms"] and data["tile"][0]:
        yield "data.phantoms", data["phantoms"], "0, or data.tile = [0, 0]"
    if abs(sum(data["parts"]) - 1) > 1e-6 or data["parts"][0] == 0:
        yield "data.parts", data["parts"], "three shares that sum to 1, the first above 0"
    if sum(table["loss"]["class_weights"]) == 0:
        yield "loss.class_weights", table["loss"]["class_weights"], "at least one above 0"
    step = 2 ** network["unet_levels"] if network["architecture"] == "unet" else 32
    if inference["tile"] % step:
        yield "inference.tile", inference["tile"], f"a multiple of {step}"
    if inference["overlap"] >= inference["tile"]:
        yield "inference.overlap", inference["overlap"], "less than inference.tile"

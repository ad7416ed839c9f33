"""The columns of the score table, with what each means."""

from collections.abc import Iterator

from mudrock_cli.measure.tables.columns import Column

_JACCARD = "Jaccard 1912, doi 10.1111/j.1469-8137.1912.tb05611.x"
_CSURKA = "Csurka et al. 2013, doi 10.5244/C.27.32"
_KIRILLOV = "Kirillov et al. 2019, doi 10.1109/CVPR.2019.00963"
_PHASES = ("clay", "silt", "pore")

_HEAD = (
    Column("level", "category", "", "image; mean: over images; pooled: all pixels of the images"),
    Column("method", "category", "", "model or folder of masks"),
    Column("split", "category", "", "train, validation, test as the model's folder says; or all"),
    Column("image", "str", "", "name of the label; empty where several images are summed up"),
    Column("images", "int", "1", "number of images"),
    Column("pixels", "int", "px", "labelled pixels; every column looks at these only"),
    Column("pixel_accuracy", "float", "1", "share of pixels whose phase is right"),
    Column("iou_mean", "float", "1", "mean intersection over union of the phases present"),
)


def _phase_columns(name: str) -> Iterator[Column]:
    fraction = f"area fraction of {name}"
    yield Column(
        f"iou_{name}",
        "float",
        "1",
        f"intersection over union of {name}; empty where neither mask holds it",
        "TP / (TP + FP + FN)",
        _JACCARD,
    )
    yield Column(f"absent_{name}", "int", "1", f"images without {name} in truth and prediction")
    yield Column(
        f"boundary_f1_{name}",
        "float",
        "1",
        f"F1 of the outlines of {name} within the tolerance",
        "2 P R / (P + R)",
        _CSURKA,
    )
    yield Column(f"fraction_{name}_truth_percent", "float", "%", f"{fraction} in the truth")
    yield Column(f"fraction_{name}_predicted_percent", "float", "%", f"{fraction} predicted")
    yield Column(
        f"fraction_{name}_error_points",
        "float",
        "percentage points",
        f"error of the {fraction}; at level mean the mean of its magnitude",
        "predicted - truth",
    )
    for other in (*_PHASES, "void"):
        yield Column(
            f"{name}_as_{other}_pixels", "int", "px", f"pixels of true {name} predicted as {other}"
        )


def _object_columns(name: str) -> Iterator[Column]:
    counts = {
        f"instances_{name}_truth": f"{name} regions in the truth, specks left out",
        f"instances_{name}_predicted": f"{name} regions predicted, specks left out",
        f"matched_{name}": "true regions with a predicted one of IoU > 0.5",
        f"missed_{name}": "true regions without one",
        f"invented_{name}": "predicted regions without a true one of IoU > 0.5",
        f"splits_{name}": "true regions that hold more than half of each of several predicted ones",
        f"merges_{name}": "predicted regions that hold more than half of each of several true ones",
    }
    for column, meaning in counts.items():
        yield Column(column, "int", "1", meaning)
    qualities = {
        "panoptic": "sum of matched IoU / (matched + missed / 2 + invented / 2)",
        "segmentation": "mean of matched IoU",
        "recognition": "matched / (matched + missed / 2 + invented / 2)",
    }
    for quality, formula in qualities.items():
        meaning = f"{quality} quality of {name}"
        yield Column(f"{quality}_quality_{name}", "float", "1", meaning, formula, _KIRILLOV)
    for weight, weighted in (("", "equal weights"), ("_by_area", "weighted by area")):
        for unit, shown in (("um", "µm"), ("px", "px")):
            yield Column(
                f"ecd_distance{weight}_{name}_{unit}",
                "float",
                shown,
                f"Wasserstein-1 distance of true and predicted {name} diameters, {weighted}"
                + (" (px: images without a pixel size)" if unit == "px" else ""),
                "area between the two cumulative distributions",
                "Vaserstein 1969",
            )


SCORES: tuple[Column, ...] = (
    *_HEAD,
    *(column for name in _PHASES for column in _phase_columns(name)),
    *(column for name in _PHASES[1:] for column in _object_columns(name)),
)

"""What the card of a model tells of its data, its training and how well it does."""

import platform
from typing import Any

import keras

from mudrock_cli.deeplab.campaign.findings import Findings
from mudrock_cli.deeplab.campaign.plan import Campaign
from mudrock_cli.deeplab.data.split import PARTS, Split
from mudrock_cli.deeplab.training.loop import Trained


def describe_figures(campaign: Campaign, split: Split, findings: Findings | None) -> dict[str, Any]:
    """Return what the card tells of the data, of leaks, and of how well the model does."""
    facts = {"data": _describe_parts(campaign, split), "leaks": split.shared_parents()}
    if findings:
        on = "every parent, held out in turn" if campaign.folds else "the parents held out"
        facts |= findings.facts(on)
    return facts


def _describe_parts(campaign: Campaign, split: Split) -> dict[str, Any]:
    parts = {}
    for part in PARTS:
        samples = split.choose(campaign.samples, part)
        if samples:
            pixels = sum(sample.grey.size for sample in samples)
            parents = split.parents(part)
            parts[part] = {"parents": parents, "files": len(samples), "megapixels": pixels / 1e6}
    kind = "folds" if campaign.folds and split is campaign.split else split.kind
    return {"name": campaign.data, "split": kind, "parts": parts}


def describe_training(campaign: Campaign, trained: Trained) -> dict[str, Any]:
    """Return what the card tells of how the network was trained."""
    source = campaign.work / "init.txt"
    return {
        "started_from": source.read_text("utf-8") if source.is_file() else campaign.init,
        "epochs_done": trained.progress.epochs,
        "ended": trained.ended,
        "hours": trained.progress.seconds / 3600,
        "backend": f"{keras.backend.backend()}, Keras {keras.__version__}",
        "machine": f"{platform.system()} {platform.machine()}",
    }

"""Train the paper's other method, the random forest, by the same split and onto the same card."""

import time
from typing import TYPE_CHECKING, Any

import mudrock_cli

if TYPE_CHECKING:
    from mudrock_cli.classical.forest import Forest
    from mudrock_cli.deeplab.campaign.findings import Findings
    from mudrock_cli.deeplab.campaign.plan import Campaign
    from mudrock_cli.deeplab.campaign.stages import Narrator
    from mudrock_cli.deeplab.data.split import Split
    from mudrock_cli.deeplab.model.zoo import TrainedModel


def run_forest_campaign(campaign: "Campaign", narrator: "Narrator") -> "TrainedModel":
    """Grow forests on the folds and on the split, judge them, and write the model folder.

    Parameters
    ----------
    campaign : Campaign
        With a recipe of architecture ``forest``.
    narrator : Narrator
        Is told how it goes.

    Raises
    ------
    MudrockError
        If a phase is missing, or the folder cannot be written.
    """
    from mudrock_cli.deeplab.campaign.findings import pool_findings
    from mudrock_cli.deeplab.data.split_file import write_split

    found = []
    for number, fold in enumerate(campaign.folds, start=1):
        held = ", ".join(fold.parents("test"))
        narrator.on_stage(f"fold {number} of {len(campaign.folds)}, without {held}")
        found.append(_judge(campaign, fold, _grow(campaign, fold)))
    narrator.on_stage("growing the forest")
    began = time.monotonic()
    forest = _grow(campaign, campaign.split)
    hours = (time.monotonic() - began) / 3600
    narrator.on_stage("judging")
    findings = pool_findings(found) if campaign.folds else _judge(campaign, campaign.split, forest)
    write_split(campaign.out / "split.csv", campaign.split, campaign.samples)
    return _write(campaign, forest, findings, hours)


def _grow(campaign: "Campaign", split: "Split") -> "Forest":
    from mudrock_cli.classical.forest_recipe import ForestRecipe
    from mudrock_cli.classical.forest_training import train_forest

    samples = split.choose(campaign.samples, "train")
    recipe = ForestRecipe.from_toml(campaign.recipe.to_toml())
    return train_forest([s.grey for s in samples], [s.labels for s in samples], recipe)


def _judge(campaign: "Campaign", split: "Split", forest: "Forest") -> "Findings":
    from mudrock_cli.commands.prediction.engines import ForestEngine
    from mudrock_cli.deeplab.campaign.findings import judge_engine
    from mudrock_cli.deeplab.campaign.plan import HELD_OUT

    engine = ForestEngine(forest, campaign.recipe.inference.tile)
    keep = campaign.work / HELD_OUT
    return judge_engine(engine, campaign.samples, split, campaign.recipe, keep=keep)


def _write(
    campaign: "Campaign", forest: "Forest", findings: "Findings", hours: float
) -> "TrainedModel":
    from mudrock_cli.deeplab.campaign.facts import describe_figures
    from mudrock_cli.deeplab.model.card import describe_model
    from mudrock_cli.deeplab.model.folder import assembling
    from mudrock_cli.deeplab.model.zoo import load_model, seal_model
    from mudrock_cli.image.placement import write_text

    facts: dict[str, Any] = {"mudrock": mudrock_cli.__version__, "temperature": 1.0}
    facts |= describe_figures(campaign, campaign.split, findings)
    facts["training"] = {"trees": forest.recipe.trees, "hours": hours}
    with assembling(campaign.out) as scratch:
        forest.save(scratch)
        write_text(scratch / "card.md", describe_model(campaign.out.name, campaign.recipe, facts))
        seal_model(scratch, facts)
    return load_model(str(campaign.out))

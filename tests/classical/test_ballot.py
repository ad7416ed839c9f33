"""Settings of equal right, and how they vote."""

from dataclasses import asdict

import numpy as np
import pytest
from phantom import make_phantom

from mudrock_cli.classical.recipe import WorkflowRecipe
from mudrock_cli.classical.workflow import (
    VOTERS,
    Workflow,
    count_votes,
    share_votes,
    vary_thresholds,
)
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.types import Phase

RECIPE = WorkflowRecipe()


def test_settings_lie_evenly_around_the_recipe() -> None:
    voters = vary_thresholds(RECIPE)
    assert len(voters) == VOTERS
    for name, value in asdict(RECIPE.silt).items():
        found = np.array([getattr(voter.silt, name) for voter in voters]) / value
        if name in ("tolerance", "hole_nm"):
            assert found == pytest.approx(1)
            continue
        span = np.abs(found - 1).max()
        assert len(set(found)) == VOTERS
        assert 0.01 < span <= 0.15
        assert found.mean() == pytest.approx(1, abs=span / 2)
    assert {voter.pore for voter in voters} == {RECIPE.pore}
    assert {voter.contrast for voter in voters} == {RECIPE.contrast}


def test_votes_are_those_of_each_setting() -> None:
    made = make_phantom(4, (700, 800))
    micrograph = Micrograph.from_array("made", made.grey, made.pixel_size)
    workflow = Workflow(micrograph, RECIPE)
    nm = workflow.pixel_nm
    drafts = workflow.draft(vary_thresholds(RECIPE))
    found = share_votes()[np.concatenate(list(count_votes(drafts, nm, map)))]
    each = [np.concatenate(list(draft.phases(nm))) for draft in drafts]
    for phase in (Phase.CLAY, Phase.SILT, Phase.PORE):
        expected = np.mean([phases == phase for phases in each], axis=0)
        np.testing.assert_allclose(found[..., phase], expected, atol=1e-6)
    assert len(np.unique(found[..., Phase.SILT])) > 2  # they do not all agree


def test_every_possible_vote_is_divided_once() -> None:
    shares = share_votes()
    assert shares.dtype == np.float32
    possible = shares[shares.min(axis=1) >= 0]
    assert len(possible) == (VOTERS + 1) * (VOTERS + 2) // 2
    assert possible.sum(axis=1) == pytest.approx(1)

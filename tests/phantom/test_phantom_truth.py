"""The truth of phantoms: deterministic, exact, near what was asked for, and visible in the grey."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
from phantom import PhantomSpec, make_phantom, random_spec

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.types import Phase

SHAPE = (300, 360)


def test_same_seed_same_pixels_and_another_seed_another_rock() -> None:
    first, again, other = (make_phantom(seed, SHAPE) for seed in (5, 5, 6))
    assert (first.grey == again.grey).all()
    assert (first.phases == again.phases).all()
    assert (first.phases != other.phases).mean() > 0.1


def test_the_microscope_does_not_move_the_rock() -> None:
    spec = PhantomSpec()
    seen = make_phantom(3, SHAPE, spec=replace(spec, noise=9.0, blur_px=2.0, curtaining=20.0))
    plain = make_phantom(3, SHAPE, spec=spec)
    assert (seen.phases == plain.phases).all()
    assert (seen.grey != plain.grey).mean() > 0.5


def test_facts_are_what_the_mask_holds() -> None:
    phantom = make_phantom(2, SHAPE, 20.0)
    assert phantom.grey.shape == phantom.phases.shape == SHAPE
    assert phantom.grey.dtype == phantom.phases.dtype == np.uint8
    assert set(np.unique(phantom.phases)) <= {Phase.CLAY, Phase.SILT, Phase.PORE}
    assert phantom.facts["porosity"] == pytest.approx((phantom.phases == Phase.PORE).mean())
    assert phantom.facts["silt_fraction"] == pytest.approx((phantom.phases == Phase.SILT).mean())
    shares = [phantom.facts[k] for k in ("porosity", "silt_fraction", "clay_fraction")]
    assert sum(shares) == pytest.approx(1)
    assert phantom.pixel_size.nm == 20.0
    assert json.loads(json.dumps(phantom.facts)) == phantom.facts


@pytest.mark.parametrize(("silt", "porosity"), [(0.0, 0.05), (0.15, 0.10), (0.4, 0.2), (0.6, 0.05)])
def test_fractions_come_out_near_the_spec(silt: float, porosity: float) -> None:
    # coarse pixels: the field is 20 x 17 um, as in a real micrograph
    spec = PhantomSpec(silt_fraction=silt, porosity=porosity)
    facts = make_phantom(1, (429, 500), 40.0, spec=spec).facts
    assert facts["silt_fraction"] == pytest.approx(silt, abs=0.06)
    assert facts["porosity"] == pytest.approx(porosity, abs=0.03)


def test_pores_are_darkest_and_silt_darker_than_clay_by_what_was_asked() -> None:
    spec = PhantomSpec(silt_fraction=0.4, silt_grey=-30.0, shading=0.0, curtaining=0.0)
    phantom = make_phantom(4, SHAPE, 20.0, spec=spec)
    clay, silt, pore = (np.median(phantom.grey[phantom.phases == p]) for p in (0, 1, 2))
    assert pore < silt - 25
    assert silt < clay - 15


def test_pores_overlap_with_dark_clay_as_in_real_micrographs() -> None:
    phantom = make_phantom(1, SHAPE)
    clay, pore = (phantom.grey[phantom.phases == p] for p in (Phase.CLAY, Phase.PORE))
    assert np.percentile(pore, 95) > np.percentile(clay, 3)


def test_bedding_turns_with_the_spec() -> None:
    def mean_axis(degrees: float) -> complex:
        spec = PhantomSpec(bedding_degrees=degrees, fabric=0.95, silt_fraction=0.0)
        pores = (make_phantom(7, SHAPE, spec=spec).phases == Phase.PORE).astype(float)
        down, across = np.gradient(pores)
        return complex(((across + 1j * down) ** 2).sum())

    # gradients stand across the bedding: a quarter turn is half a turn of the doubled angle
    turn = np.angle(mean_axis(70.0) / mean_axis(10.0)) / 2
    assert np.rad2deg(turn) == pytest.approx(60, abs=15)


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (3, 400), (64, 40)])
def test_small_shapes(shape: tuple[int, int]) -> None:
    assert make_phantom(0, shape).grey.shape == shape


@pytest.mark.parametrize("change", [{"silt_fraction": 0.96}, {"porosity": -0.1}, {"fabric": 2.0}])
def test_impossible_specs_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(MudrockError, match=next(iter(change))):
        PhantomSpec(**change)


def test_impossible_pixel_size_is_refused() -> None:
    with pytest.raises(MudrockError, match="pixel size"):
        make_phantom(0, SHAPE, 0.0)


def test_random_specs_vary_in_every_field() -> None:
    rng = np.random.default_rng(0)
    drawn = [random_spec(rng) for _ in range(30)]
    for field in fields(PhantomSpec):
        assert len({getattr(spec, field.name) for spec in drawn}) > 1, field.name

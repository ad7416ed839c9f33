"""Filter responses against SciPy, and in bands as on the whole image."""

import numpy as np
import pytest
from scipy import ndimage

from mudrock_cli.classical.forest import (
    blur,
    compute_responses,
    find_levels,
    find_reach,
    name_responses,
)

GREY = np.kron(
    np.random.default_rng(0).integers(0, 256, (30, 40)), np.ones((8, 8), np.int64)
).astype(np.uint8)


@pytest.mark.parametrize("sigma", [0.7, 2.0, 4.0, 5.0, 8.0, 16.0, 32.0])
def test_blur_is_a_gaussian(sigma: float) -> None:
    expected = ndimage.gaussian_filter(GREY.astype(float), sigma, mode="reflect")
    error = np.abs(blur(GREY.astype(np.float32), sigma) - expected)
    assert error.max() < 0.05 * expected.std()
    odd = np.abs(blur(GREY[:-5, :-3].astype(np.float32), sigma) - expected[:-5, :-3])
    far = 240 - 5 - int(3 * sigma) - 8
    assert odd[:far, :far].max() < 0.05 * expected.std()


def test_responses_of_a_parabola() -> None:
    """Of x²/2 + y²/4: gradient (x, y/2), Hessian eigenvalues 1 and 1/2; σ² is added by blurring."""
    y, x = np.mgrid[-20:21, -20:21].astype(float)
    grey = np.rint(x**2 / 4 + y**2 / 8).astype(np.uint8)
    scale = 2.0
    responses = dict(zip(name_responses([scale]), compute_responses(grey, [scale]), strict=True))
    at = 20, 26  # x = 6, y = 0
    assert responses["grey"][at] == 9
    assert responses["gauss_2"][at] == pytest.approx(9 + scale**2 * (1 / 4 + 1 / 8), abs=0.2)
    assert responses["sobel_2"][at] == pytest.approx(scale * 3, rel=0.03)
    assert responses["hessian_high_2"][at] == pytest.approx(scale**2 / 2, rel=0.1)
    assert responses["hessian_low_2"][at] == pytest.approx(scale**2 / 4, rel=0.1)
    assert responses["difference_2"][at] == pytest.approx(-(scale**2) * 3 / 8, abs=0.2)


def test_deviation_of_noise() -> None:
    grey = np.random.default_rng(1).normal(120, 15, (200, 200)).round().astype(np.uint8)
    responses = dict(zip(name_responses([8.0]), compute_responses(grey, [8.0]), strict=True))
    assert np.median(responses["deviation_8"]) == pytest.approx(15, rel=0.05)
    assert not responses["deviation_8"].min() < 0


def test_brightness_moves_the_levels_and_contrast_scales_the_rest() -> None:
    scales = [1.0, 8.0]
    plain = np.stack(list(compute_responses(GREY // 2, scales)), axis=-1)
    brighter = np.stack(list(compute_responses(GREY // 2 + 40, scales)), axis=-1)
    moved = plain + 40 * find_levels(scales)
    stable = [not name.startswith("deviation") for name in name_responses(scales)]
    np.testing.assert_allclose(brighter[..., stable], moved[..., stable], atol=0.02)


def test_a_band_that_sees_far_enough_gives_the_whole() -> None:
    scales = [1.0, 8.0, 16.0]
    reach = find_reach(scales)
    whole = list(compute_responses(GREY, scales))
    top, bottom = reach + 8, reach + 42  # 8: twice the widest reduction
    band = compute_responses(GREY[top - reach : bottom + reach], scales)
    for one, other in zip(whole, band, strict=True):
        np.testing.assert_allclose(other[reach : reach + 34], one[top:bottom], atol=0.02)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (5, 5), (3, 200)])
def test_small_images(shape: tuple[int, int]) -> None:
    grey = np.full(shape, 77, np.uint8)
    for name, response in zip(
        name_responses([1.0, 32.0]), compute_responses(grey, [1.0, 32.0]), strict=True
    ):
        assert response.shape == shape
        expected = 77 if name.startswith(("grey", "gauss")) else 0
        np.testing.assert_allclose(response, expected, atol=0.05, err_msg=name)

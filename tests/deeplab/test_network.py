"""The network against `keras.applications`, other tile sizes, and its weights' file."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mudrock_cli.deeplab.recipe import NetworkRecipe
from mudrock_cli.errors import MudrockError

pytestmark = pytest.mark.network

IMAGENET = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "weights"
SMALL = NetworkRecipe(
    encoder="mobilenetv2", output_stride=16, aspp_channels=8, decoder_channels=8, detail_channels=4
)
SEPARABLE = dataclasses.replace(SMALL, decoder="separable", outline_channels=4)
UNET = NetworkRecipe(architecture="unet", encoder="plain", unet_channels=4, unet_levels=2)


def shake_statistics(model: Any) -> None:
    """Give batch norms statistics and scales that a wrong order of layers cannot survive."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.path.endswith(("moving_mean", "beta")):
            weight.assign(rng.normal(0, 0.1, weight.shape))
        elif weight.path.endswith(("moving_variance", "gamma")):
            weight.assign(rng.uniform(0.8, 1.2, weight.shape))


@pytest.mark.parametrize(
    ("name", "application", "last"),
    [
        ("mobilenetv2", "MobileNetV2", "block_16_project_BN"),  # what follows classifies
        ("resnet50", "ResNet50V2", "post_relu"),
        ("resnet50v1", "ResNet50", "conv4_block6_out"),  # the fifth stack is left out
    ],
)
@pytest.mark.parametrize("size", [64, 75])
def test_an_encoder_is_the_published_one_where_no_stride_is_replaced(
    name: str, application: str, last: str, size: int
) -> None:
    import keras

    from mudrock_cli.deeplab.encoders import encode

    published = getattr(keras.applications, application)(
        include_top=False, weights=None, input_shape=(size, size, 3)
    )
    shake_statistics(published)
    image = keras.Input((size, size, 3))
    deep = encode(name, image, 32, 0.9).deep
    encoder = keras.Model(image, deep)
    published = keras.Model(published.input, published.get_layer(last).output)
    source = {weight.path: weight for weight in published.weights}
    assert {weight.path for weight in encoder.weights} == set(source)
    for weight in encoder.weights:
        weight.assign(source[weight.path])
    picture = np.random.default_rng(1).uniform(-1, 1, (1, size, size, 3)).astype(np.float32)
    caffe = 127.5 * (1 + picture) - np.array([103.939, 116.779, 123.68], np.float32)
    expected = np.asarray(published(caffe if name == "resnet50v1" else picture, training=False))
    found = np.asarray(encoder(picture, training=False))
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-4 * max(1, np.abs(expected).max())


def test_resnet101_has_the_published_layers() -> None:
    import keras

    from mudrock_cli.deeplab.encoders import encode

    published = keras.applications.ResNet101V2(include_top=False, weights=None)
    image = keras.Input((64, 64, 3))
    encoder = keras.Model(image, encode("resnet101", image, 8, 0.9).deep)
    shapes = {weight.path: tuple(weight.shape) for weight in published.weights}
    assert {weight.path: tuple(weight.shape) for weight in encoder.weights} == shapes
    assert len({path.rpartition("/")[0] for path in shapes}) == 204


@pytest.mark.parametrize(
    ("name", "stride"),
    [("mobilenetv2", 8), ("mobilenetv2", 16), ("mobilenetv2", 32), ("resnet50v1", 8)],
)
def test_dilation_keeps_the_resolution(name: str, stride: int) -> None:
    import keras

    from mudrock_cli.deeplab.encoders import encode

    image = keras.Input((96, 64, 3))
    features = encode(name, image, stride, 0.9)
    assert features.deep.shape[1:3] == (96 // stride, 64 // stride)
    assert features.low_level.shape[1:3] == (24, 16)
    assert features.detail.shape[1:3] == (48, 32)


@pytest.mark.parametrize("recipe", [SMALL, SEPARABLE, UNET])
def test_one_set_of_weights_fits_every_tile(recipe: NetworkRecipe, tmp_path: Path) -> None:
    from mudrock_cli.deeplab.network import build_network
    from mudrock_cli.deeplab.weights import load_weights, save_weights

    small = build_network(recipe, 50, 75)
    assert small.output_shape == (None, 50, 75, 3)
    save_weights(small, tmp_path / "w.npz")
    large = build_network(recipe, 64, 96)
    load_weights(large, tmp_path / "w.npz")
    again = build_network(recipe, 50, 75)
    load_weights(again, tmp_path / "w.npz")
    grey = np.random.default_rng(0).uniform(0, 255, (1, 50, 75, 1)).astype(np.float32)
    first, second = (np.asarray(model(grey, training=False)) for model in (small, again))
    assert np.abs(first - second).max() < 0.02  # kernels are kept in 16 bit
    assert [path.name for path in tmp_path.iterdir()] == ["w.npz"]


def test_wrong_weights_are_refused(tmp_path: Path) -> None:
    from mudrock_cli.deeplab.network import build_network
    from mudrock_cli.deeplab.weights import load_weights, save_weights

    network = build_network(UNET, 32, 32)
    path = tmp_path / "w.npz"
    save_weights(network, path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    name = "bottom_1_conv/kernel"
    for change, message in [
        ({name: None}, "it lacks bottom_1_conv/kernel"),
        ({"other": np.zeros(1)}, "the network has no other"),
        ({name: np.zeros((3, 3, 2, 2))}, "bottom_1_conv/kernel has shape"),
        ({name: np.full_like(arrays[name], np.nan)}, "not finite"),
    ]:
        changed = {k: v for k, v in {**arrays, **change}.items() if v is not None}
        np.savez(path, **changed)
        with pytest.raises(MudrockError, match=message):
            load_weights(network, path)
    np.savez(path, **{**arrays, name: np.array([{"a": 1}], dtype=object)})
    with pytest.raises(MudrockError, match="no whole file"):  # a pickle is never opened
        load_weights(network, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(MudrockError, match="no whole file"):
        load_weights(network, path)
    with pytest.raises(MudrockError, match="cannot be read"):
        load_weights(network, tmp_path / "none.npz")


class TestStart:
    def test_named_arrays_find_their_layers(self, tmp_path: Path) -> None:
        from mudrock_cli.deeplab.network import build_network, give_start

        network = build_network(SMALL, 32, 32)
        weights = {weight.path: weight for weight in network.weights}
        rng = np.random.default_rng(0)
        kernel = rng.normal(size=(3, 3, 3, 32))
        depthwise = rng.normal(size=(3, 3, 32, 1))
        np.savez(
            tmp_path / "w.npz",
            Conv1__kernel=kernel,
            expanded_conv_depthwise__depthwise_kernel=depthwise,
            top__kernel=np.zeros(3),
        )
        said = give_start(network, str(tmp_path / "w.npz"), SMALL)
        assert said == f"w.npz (2 of {len(weights)} weights)"
        assert np.allclose(weights["Conv1/kernel"], kernel)
        assert np.allclose(weights["expanded_conv_depthwise/kernel"], depthwise)

    @pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras saves so
    def test_files_of_keras_fit_the_same_network(self, tmp_path: Path) -> None:
        from mudrock_cli.deeplab.network import build_network, give_start

        source, network = build_network(UNET, 32, 32), build_network(UNET, 48, 32)
        path = tmp_path / "x.weights.h5"
        source.save_weights(path)
        assert give_start(network, str(path), UNET) == "x.weights.h5"
        for one, other in zip(source.weights, network.weights, strict=True):
            assert np.array_equal(np.asarray(one), np.asarray(other))
        with pytest.raises(MudrockError, match="does not fit the recipe's network"):
            give_start(build_network(SMALL, 32, 32), str(path), SMALL)

    def test_the_layout_of_keras_applications_is_read(self, tmp_path: Path) -> None:
        import h5py

        from mudrock_cli.deeplab.network import build_network, give_start

        kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 32)).astype(np.float32)
        with h5py.File(tmp_path / "notop.h5", "w") as file:
            file.create_dataset("Conv1/Conv1/kernel:0", data=kernel)
        network = build_network(SMALL, 32, 32)
        assert give_start(network, str(tmp_path / "notop.h5"), SMALL).startswith("notop.h5 (1 of")
        assert np.allclose(network.get_layer("Conv1").kernel, kernel)

    def test_a_start_that_is_none_is_told(self, tmp_path: Path) -> None:
        from mudrock_cli.deeplab.network import build_network, give_start

        network = build_network(UNET, 32, 32)
        np.savez(tmp_path / "w.npz", other__kernel=np.zeros(3))
        (tmp_path / "w.txt").touch()
        (tmp_path / "broken.h5").write_text("no HDF5", "utf-8")
        assert give_start(network, "scratch", UNET) == "random weights"
        for start, message in [
            (str(tmp_path / "w.npz"), "holds no weight of this network"),
            (str(tmp_path / "broken.h5"), "cannot be read"),
            (str(tmp_path / "w.txt"), "unknown kind of file"),
            (str(tmp_path / "none.npz"), "no such file"),
            ("imagenet", "there are no ImageNet weights for unet"),
        ]:
            with pytest.raises(MudrockError, match=message):
                give_start(network, start, UNET)

    @pytest.mark.skipif(not IMAGENET.is_dir(), reason="needs ../shared/data/weights")
    @pytest.mark.parametrize("encoder", ["mobilenetv2", "resnet50v1"])
    def test_imagenets_weights_fill_the_whole_encoder(self, encoder: str) -> None:
        from mudrock_cli.deeplab.network import build_network, give_start

        recipe = dataclasses.replace(SMALL, encoder=encoder)
        network = build_network(recipe, 32, 32)
        path = next(IMAGENET.resolve().glob(f"{encoder}*.npz"))
        said = give_start(network, str(path), recipe)
        parts = ("Conv1", "bn_", "block", "exp", "conv")
        filled = [w for w in network.weights if w.path.startswith(parts)]
        assert said == f"{path.name} ({len(filled)} of {len(network.weights)} weights)"


def test_relief_is_closed_by_squares_of_13_pixels_up_to_the_edges() -> None:
    import keras
    from scipy.ndimage import grey_dilation, grey_erosion, uniform_filter

    from mudrock_cli.deeplab.network import add_relief

    levels = np.random.default_rng(0).uniform(0, 255, (40, 52)).astype(np.float32)
    grey = keras.Input((40, 52, 1))
    fine = keras.Model(grey, add_relief(grey)[0])(levels[None, ..., None])
    inside = uniform_filter(np.ones((40, 52)), 3, mode="constant")
    smooth = uniform_filter(levels.astype(float), 3, mode="constant") / inside
    # Beyond the edges, mirrored pixels are those of the square itself.
    closed = grey_erosion(grey_dilation(smooth, (13, 13), mode="reflect"), (13, 13), mode="reflect")
    expected = 1 + (smooth - closed) / 48
    assert expected.std() > 0.1
    np.testing.assert_allclose(np.asarray(fine)[0, ..., 0], expected, atol=1e-4)


def test_relief_shows_what_is_darker_than_its_surroundings_whatever_the_brightness() -> None:
    import keras

    from mudrock_cli.deeplab.network import add_relief

    grey = keras.Input((96, 96, 1))
    relief = keras.Model(grey, add_relief(grey))
    rows, columns = np.mgrid[:96, :96]
    narrow = (rows - 20) ** 2 + (columns - 20) ** 2 < 16
    wide = (rows - 60) ** 2 + (columns - 60) ** 2 < 400
    flat = np.where(narrow | wide, 52.0, 100.0)
    slope = flat + columns / 2
    fine, coarse = (
        np.asarray(channel)[..., 0]
        for channel in relief(np.stack([flat, slope])[..., None].astype(np.float32))
    )
    for channel in (fine, coarse):
        assert channel[0, 20, 20] == pytest.approx(0, abs=0.05)  # 48 grey levels of contrast
        assert channel[0, 30:34, 80:90] == pytest.approx(1, abs=0.05)
        assert np.abs(channel[0] - channel[1]).max() < 0.65  # of a change by one grey level and 48
    assert fine[0, 60, 60] == pytest.approx(1)  # closed by nothing so small
    assert coarse[0, 60, 60] == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("decoder", ["dense", "separable"])
def test_outlines_begin_as_interpolated_scores(decoder: str) -> None:
    from mudrock_cli.deeplab.network import build_network

    recipe = dataclasses.replace(SMALL, decoder=decoder)
    plain = build_network(recipe, 64, 64)
    outlined = build_network(dataclasses.replace(recipe, outline_channels=4), 64, 64)
    weights = {weight.path: weight for weight in plain.weights}
    for weight in outlined.weights:
        if weight.path in weights:
            weight.assign(weights[weight.path])
    picture = np.random.default_rng(1).uniform(0, 255, (1, 64, 64, 1)).astype(np.float32)
    expected = np.asarray(plain(picture, training=False))
    np.testing.assert_allclose(outlined(picture, training=False), expected, atol=1e-5)


def test_separable_outlines_see_and_move_single_pixels() -> None:
    import keras

    from mudrock_cli.deeplab.network import build_network

    keras.utils.set_random_seed(0)
    network = build_network(SEPARABLE, 64, 64)
    kernel = network.get_layer("outline_scores").kernel
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    picture = np.random.default_rng(1).uniform(0, 255, (1, 64, 64, 1)).astype(np.float32)
    other = picture.copy()
    other[0, 33, 30] += 60
    change = np.abs(np.asarray(network(picture)) - np.asarray(network(other)))[0].max(axis=2)
    steps = np.abs(np.diff(change, axis=1))
    assert steps[30:36, 27:33].max() > 0.2 * change.max()  # no interpolation is as sharp


@pytest.mark.parametrize(
    ("encoder", "first", "later"),
    [
        ("mobilenetv2", ("Conv1", "expanded_conv_", "block_1_"), "block_2_expand"),
        ("resnet50v1", ("conv1_conv", "conv2_block1_", "conv2_block2_"), "conv2_block3_1_conv"),
    ],
)
def test_first_blocks_keep_their_kernels_and_train_their_batch_norms(
    encoder: str, first: tuple[str, ...], later: str
) -> None:
    from mudrock_cli.deeplab.network import build_network, freeze_blocks

    recipe = NetworkRecipe(encoder=encoder, output_stride=16, aspp_channels=8, decoder_channels=8)
    network = build_network(recipe, 64, 64)
    everything = {variable.path for variable in network.trainable_variables}
    freeze_blocks(network, 0)
    assert {variable.path for variable in network.trainable_variables} == everything
    freeze_blocks(network, 2)
    frozen = everything - {variable.path for variable in network.trainable_variables}
    assert all(any(path.startswith(name) for path in frozen) for name in first)
    assert all(path.startswith(first) for path in frozen)
    assert not any("gamma" in path or "beta" in path for path in frozen)
    assert any(variable.path.startswith(later) for variable in network.trainable_variables)

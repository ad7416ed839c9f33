"""DeepLab-v3+ (Chen et al. 2018, arXiv:1802.02611) for grey micrographs, on any Keras backend.

Also the U-Net that it is compared with, and the first weights of either.
"""

import re
from pathlib import Path

import keras
import numpy as np
from keras import layers

from mudrock_cli.deeplab.encoders import (
    BatchNorm,
    conv_bn_relu,
    encode,
    resize_like,
    separable_conv,
)
from mudrock_cli.deeplab.recipe import NetworkRecipe
from mudrock_cli.deeplab.weights import Arrays, check_hdf5, read_hdf5, read_variables
from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.files import read_named_arrays

_PHASES = 3
_STEMS = ("Conv1", "conv1_conv")
_BLOCK = re.compile(r"(expanded_conv|block_\d+|conv\d_block\d+)_")
"""Of an encoder, by the names of its layers in ``keras.applications``."""


def build_network(recipe: NetworkRecipe, height: int, width: int) -> keras.Model:
    """Build the network for one tile size; its weights fit every other tile size.

    Parameters
    ----------
    recipe : NetworkRecipe
        Encoder, output stride and widths.
    height, width : int
        Tile in pixels; any size, for DeepLab at best a multiple of 32.

    Returns
    -------
    keras.Model
        Grey (N, height, width, 1), 0..255 → logits (N, height, width, 3), float32, in the order
        clay, silt, pore.
    """
    grey = keras.Input((height, width, 1), name="grey")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(grey)
    others = add_relief(grey) if recipe.relief else [x, x]
    # H × W × 3: as ImageNet weights expect.
    x = layers.Concatenate(name="grey_as_rgb")([x, *others])
    y = decode_unet(x, recipe) if recipe.architecture == "unet" else _deeplab(x, recipe)
    scores = layers.Conv2D(_PHASES, 1, name="phase_scores")(y)
    logits = resize_like(scores, x, name="phase_scores_up")  # H × W × 3
    if recipe.outline_channels:
        logits = _draw_outlines(logits, y, x, recipe)
    logits = layers.Activation("linear", dtype="float32", name="logits")(logits)
    return keras.Model(grey, logits, name=f"{recipe.architecture}_{recipe.encoder}")


def freeze_blocks(network: keras.Model, count: int) -> None:
    """Keep the kernels of the encoder's first blocks, and of what comes before, as they are.

    Their batch norms are trained: micrographs have other statistics than photographs.

    Parameters
    ----------
    network : keras.Model
        From `build_network`, with an encoder of ``keras.applications``.
    count : int
        Blocks, the first one included; 0 freezes nothing.
    """
    named = [(layer, _BLOCK.match(layer.name)) for layer in network.layers]
    blocks = dict.fromkeys(match[1] for _, match in named if match)
    frozen = set(list(blocks)[:count])
    for layer, match in named:
        early = match[1] in frozen if match else layer.name in _STEMS
        if count and early and not isinstance(layer, BatchNorm):
            for variable in layer.weights:
                variable.trainable = False


def keep_statistics(network: keras.Model) -> None:
    """Make batch norm go by its moving statistics in training, too, and leave them alone."""
    for layer in network.layers:
        if isinstance(layer, BatchNorm):
            layer.keeps_statistics = True


def _deeplab(x: keras.KerasTensor, recipe: NetworkRecipe) -> keras.KerasTensor:
    features = encode(recipe.encoder, x, recipe.output_stride, recipe.batch_norm_decay)
    y = _aspp(features.deep, recipe)  # H/os × W/os × 256
    low = conv_bn_relu(
        features.low_level, recipe.low_level_channels, 1, recipe, name="low_level"
    )  # H/4 × W/4 × 48
    y = resize_like(y, low, name="aspp_up")
    y = layers.Concatenate(name="decoder_concat")([y, low])  # H/4 × W/4 × 304
    y = _conv(y, recipe.decoder_channels, recipe, name="decoder_1")
    y = _conv(y, recipe.decoder_channels, recipe, name="decoder_2")
    if recipe.detail_channels:
        width = recipe.detail_channels
        skip = conv_bn_relu(features.detail, width, 1, recipe, name="detail_skip")
        y = _add_skip(y, skip, recipe, name="detail")  # H/2 × W/2
    return y


def _aspp(x: keras.KerasTensor, recipe: NetworkRecipe) -> keras.KerasTensor:
    """Atrous spatial pyramid pooling: one view per rate, and the mean of the image."""
    factor = 2 if recipe.output_stride == 8 else 1
    views = [conv_bn_relu(x, recipe.aspp_channels, 1, recipe, name="aspp_0")]
    for index, rate in enumerate(recipe.rates, start=1):
        name = f"aspp_{index}"
        views.append(_conv(x, recipe.aspp_channels, recipe, name=name, rate=factor * rate))
    pooled = layers.GlobalAveragePooling2D(keepdims=True, name="aspp_pool_mean")(x)  # 1 × 1
    pooled = conv_bn_relu(pooled, recipe.aspp_channels, 1, recipe, name="aspp_pool")
    views.append(resize_like(pooled, x, name="aspp_pool_up"))
    y = layers.Concatenate(name="aspp_concat")(views)
    return conv_bn_relu(y, recipe.aspp_channels, 1, recipe, name="aspp_out")


def _conv(
    x: keras.KerasTensor, channels: int, recipe: NetworkRecipe, *, name: str, rate: int = 1
) -> keras.KerasTensor:
    """Convolve by 3 × 3 in the way of the recipe's decoder."""
    if recipe.decoder == "separable":
        return separable_conv(x, channels, recipe, name=name, rate=rate)
    return conv_bn_relu(x, channels, 3, recipe, name=name, rate=rate)


def _add_skip(
    y: keras.KerasTensor, skip: keras.KerasTensor, recipe: NetworkRecipe, *, name: str
) -> keras.KerasTensor:
    """Sharpen the decoder by a finer view, for pores a few pixels wide."""
    width = skip.shape[-1]
    y = conv_bn_relu(y, width, 1, recipe, name=f"{name}_narrow")
    y = resize_like(y, skip, name=f"{name}_up")
    y = layers.Concatenate(name=f"{name}_concat")([y, skip])
    return _conv(y, 2 * width, recipe, name=name)


def _draw_outlines(
    scores: keras.KerasTensor, y: keras.KerasTensor, x: keras.KerasTensor, recipe: NetworkRecipe
) -> keras.KerasTensor:
    """Correct scores at H × W, which were interpolated, by what the image shows pixel by pixel.

    The dense decoder computes at H × W. The separable one does so at H/2 × W/2, where 4 × 4 kernels
    gather the image's pixels and give scores back to them (a sub-pixel convolution: Shi et al.
    2016, arXiv:1609.05158), for a tenth of the work.
    """
    if recipe.decoder == "separable":
        skip = conv_bn_relu(x, recipe.outline_channels, 4, recipe, name="outline_skip", stride=2)
        y = _add_skip(y, skip, recipe, name="outline")  # H/2 × W/2
        correction = layers.Conv2DTranspose(
            _PHASES, 4, 2, padding="same", kernel_initializer="zeros", name="outline_scores"
        )(y)
        height, width = (
            have - want for have, want in zip(correction.shape[1:3], scores.shape[1:3], strict=True)
        )
        correction = layers.Cropping2D(((0, height), (0, width)), name="outline_cut")(correction)
        return layers.Add(name="outlined_scores")([scores, correction])
    skip = conv_bn_relu(x, recipe.outline_channels, 3, recipe, name="outline_skip")
    y = _add_skip(y, skip, recipe, name="outline")  # H × W
    correction = layers.Conv2D(_PHASES, 1, kernel_initializer="zeros", name="outline_scores")(y)
    return layers.Add(name="outlined_scores")([scores, correction])


# The plain encoder-decoder that the paper sets DeepLab-v3+ against (its Figure 1A).


def decode_unet(x: keras.KerasTensor, recipe: NetworkRecipe) -> keras.KerasTensor:
    """Halve the image level by level, then double it back, each level beside its equal.

    Neither atrous convolution nor spatial pyramid: what these add is what the comparison measures.
    Normalised and padded, which the first U-Net (Ronneberger et al. 2015, arXiv:1505.04597) was
    not, so that both architectures train by one recipe.

    Parameters
    ----------
    x : KerasTensor, shape (N, H, W, 3)
        Grey in −1..1, three times.
    recipe : NetworkRecipe
        ``unet_channels`` and ``unet_levels``.

    Returns
    -------
    KerasTensor, shape (N, H, W, unet_channels)
    """
    skips = []
    width = recipe.unet_channels
    for level in range(recipe.unet_levels):
        x = _convolve_twice(x, width * 2**level, recipe, f"down_{level}")  # H/2^level
        skips.append(x)
        x = layers.MaxPooling2D(2, padding="same", name=f"down_{level}_pool")(x)
    x = _convolve_twice(x, width * 2**recipe.unet_levels, recipe, "bottom")
    for level in reversed(range(recipe.unet_levels)):
        x = resize_like(x, skips[level], name=f"up_{level}_resize")
        x = conv_bn_relu(x, width * 2**level, 3, recipe, name=f"up_{level}_narrow")
        x = layers.Concatenate(name=f"up_{level}_concat")([skips[level], x])
        x = _convolve_twice(x, width * 2**level, recipe, f"up_{level}")
    return x


def _convolve_twice(
    x: keras.KerasTensor, channels: int, recipe: NetworkRecipe, name: str
) -> keras.KerasTensor:
    x = conv_bn_relu(x, channels, 3, recipe, name=f"{name}_1")
    return conv_bn_relu(x, channels, 3, recipe, name=f"{name}_2")


# How dark each pixel is against the solid around it, as channels of what a network is shown.
#
# A pore is what is darker than its surroundings, not what is dark: brightness drifts over a field
# and steps at its seams. A bottom-hat (closing less image; Soille 2003, Morphological Image
# Analysis, ch. 4) tells it, as in the workflow that labels are made with; a network that has to
# learn it from a few micrographs learns their brightness instead.

_REDUCTIONS = (1, 4)  # of the image, one for each channel
_SHIFTS = (1, 2, 4, 5)  # added up, 13 pixels of the reduced image that are closed, less one
_BELOW = -256.0  # every grey level, and its negative
_FULL = 48.0  # grey levels of contrast that take a channel from 1 to 0


def add_relief(grey: keras.KerasTensor) -> list[keras.KerasTensor]:
    """Return channels that show contrast alone: 1 in the solid, darker in pores.

    Parameters
    ----------
    grey : KerasTensor, shape (N, H, W, 1)
        Grey levels, 0..255.

    Returns
    -------
    list of KerasTensor, shape (N, H, W, 1)
        For pores up to 13 and up to 52 pixels wide; 1 less bottom-hat / 48 grey levels.
    """
    channels = []
    for reduction in _REDUCTIONS:
        name = f"relief_{reduction}"
        x = grey
        if reduction > 1:
            x = layers.AveragePooling2D(reduction, padding="same", name=f"{name}_reduced")(x)
        x = layers.AveragePooling2D(3, 1, padding="same", name=f"{name}_smooth")(x)
        closed = -_dilate(-_dilate(x))
        if reduction > 1:  # the pore's own outline stays sharp
            closed = resize_like(closed, grey, name=f"{name}_up")
            x = grey
        hat = layers.Subtract(name=f"{name}_hat")([x, closed])
        channels.append(layers.Rescaling(1 / _FULL, offset=1.0, name=name)(hat))
    return channels


def _dilate(x: keras.KerasTensor) -> keras.KerasTensor:
    """Return the maximum of 13 × 13 pixels around each.

    Maxima of an image and itself, shifted, double their reach with every step. OpenVINO is faster
    at that than at pooling, which is slow where there is one channel.
    """
    reach = sum(_SHIFTS) // 2
    beyond = [(0, 0), (reach, reach), (reach, reach), (0, 0)]
    x = keras.ops.pad(x, beyond, constant_values=_BELOW)
    for shift in _SHIFTS:
        x = keras.ops.maximum(x[:, :-shift], x[:, shift:])
    for shift in _SHIFTS:
        x = keras.ops.maximum(x[:, :, :-shift], x[:, :, shift:])
    return x


# The first weights of a network: ImageNet's, a file's, a model's, or chance.

_APPLICATIONS = {
    "resnet101": "ResNet101V2",
    "resnet50": "ResNet50V2",
    "mobilenetv2": "MobileNetV2",
}


def give_start(network: keras.Model, start: str, recipe: NetworkRecipe) -> str:
    """Give a new network its first weights.

    Parameters
    ----------
    network : keras.Model
        From `build_network`.
    start : str
        ``imagenet`` (weights of ``keras.applications``, by name into the encoder), ``scratch``, a
        model folder, or a file: ``.npz`` of named arrays, ``.weights.h5`` of the same network, or
        an ``.h5`` of ``keras.applications``.
    recipe : NetworkRecipe
        What the network was built by.

    Returns
    -------
    str
        What was loaded, for the card.

    Raises
    ------
    UsageError
        If there is no such start.
    MudrockError
        If a file is damaged or has nothing for this network, or ImageNet's cannot be fetched.
    """
    if start == "scratch":
        return "random weights"
    if start == "imagenet":
        found = _fetch_imagenet(recipe)
        return f"ImageNet ({_take(network, found, start)})"
    path = Path(start)
    if path.is_dir():
        arrays = read_named_arrays(path / "weights.npz")
        return f"model {path.name} ({_take(network, arrays, start)})"
    if not path.is_file():
        raise UsageError(
            f"--init {start}: no such file", "imagenet, scratch, a .npz or .h5, or a model folder"
        )
    if path.suffix == ".npz":
        return f"{path.name} ({_take(network, read_named_arrays(path), start)})"
    if path.name.endswith(".weights.h5"):
        return _load_keras_file(network, path)
    if path.suffix in (".h5", ".hdf5"):
        return f"{path.name} ({_take(network, read_hdf5(path), start)})"
    raise UsageError(f"--init {start}: unknown kind of file", "a .npz, .weights.h5 or .h5")


def _fetch_imagenet(recipe: NetworkRecipe) -> Arrays:
    name = _APPLICATIONS.get(recipe.encoder)
    if name is None:
        raise UsageError(
            f"--init imagenet: there are no ImageNet weights for {recipe.architecture}",
            "--init scratch",
        )
    try:
        build = getattr(keras.applications, name)
        model = build(include_top=False, weights="imagenet", input_shape=(224, 224, 3))
    except Exception as error:  # any network trouble; Keras raises a plain Exception
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise MudrockError(
            f"--init imagenet: the weights of {name} cannot be fetched ({reason[0]})",
            "fetch them on another machine and give the file, or --init scratch",
        ) from error
    return read_variables(model)


def _take(network: keras.Model, arrays: Arrays, source: str) -> str:
    """Assign arrays whose names and shapes are the network's; the rest keeps its weights."""
    named = {_plain_name(name): value for name, value in arrays.items()}
    taken = 0
    for variable in network.weights:
        value = named.get(_plain_name(variable.path))
        if value is None or value.size != np.prod(variable.shape):
            continue
        if not np.isfinite(value).all():
            raise MudrockError(f"--init {source}: {variable.path} is not finite")
        variable.assign(value.reshape(variable.shape).astype(np.float32))
        taken += 1
    if not taken:
        raise MudrockError(
            f"--init {source}: holds no weight of this network",
            "arrays are named layer/kernel or layer__kernel; the recipe's encoder must fit",
        )
    return f"{taken} of {len(network.weights)} weights"


def _plain_name(name: str) -> str:
    """Bring the spellings of a weight's name to one: that of Keras 3 variable paths."""
    parts = name.replace("__", "/").removesuffix(":0").split("/")
    return "/".join(parts[-2:]).replace("depthwise_kernel", "kernel")


def _load_keras_file(network: keras.Model, path: Path) -> str:
    check_hdf5(path)
    try:
        network.load_weights(path)
    except Exception as error:  # HDF5 and Keras raise many kinds
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise MudrockError(
            f"{path}: does not fit the recipe's network ({lines[0][:120]})",
            "give the recipe that it was saved with",
        ) from error
    return path.name

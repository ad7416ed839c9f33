"""How dark each pixel is against the solid around it, as channels of what a network is shown.

A pore is what is darker than its surroundings, not what is dark: brightness drifts over a field and
steps at its seams. A bottom-hat (closing less image; Soille 2003, Morphological Image Analysis,
ch. 4) tells it, as in the workflow that labels are made with; a network that has to learn it from a
few micrographs learns their brightness instead.
"""

import keras
from keras import layers

from mudrock_cli.deeplab.network.blocks import resize_like

_REDUCTIONS = (1, 4)  # of the image, one for each channel
_WINDOW = 7  # twice: 13 pixels of the reduced image are closed
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
        closed = _dilate(x, f"{name}_dilated")
        closed = layers.Rescaling(-1.0, name=f"{name}_negative")(closed)
        closed = layers.Rescaling(-1.0, name=f"{name}_closed")(_dilate(closed, f"{name}_eroded"))
        if reduction > 1:  # the pore's own outline stays sharp
            closed = resize_like(closed, grey, name=f"{name}_up")
            x = grey
        hat = layers.Subtract(name=f"{name}_hat")([x, closed])
        channels.append(layers.Rescaling(1 / _FULL, offset=1.0, name=name)(hat))
    return channels


def _dilate(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    for step in (1, 2):
        x = layers.MaxPooling2D(_WINDOW, 1, padding="same", name=f"{name}_{step}")(x)
    return x

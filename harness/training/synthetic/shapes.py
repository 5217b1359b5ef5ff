"""Small colour images of four classes, drawn from a seed, for image classification.

Each image shows a figure in one colour on a ground of another, with noise on every pixel. Colour,
position and size are independent of the class; only the figure determines it.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLASSES", "ImageSplits", "Images", "image_splits", "images"]

CLASSES: Final = ("horizontal stripes", "vertical stripes", "disc", "cross")
"""Names of the classes, in the order of their numbers."""

_NOISE: Final = 0.1
_LEAST_CONTRAST: Final = 0.8  # of a range of 2, in the colour channel that differs most

# Seeds are arbitrary.
_TRAIN_ROWS: Final = 640
_TRAIN_SEED: Final = 20_260_301
_VALIDATION_ROWS: Final = 120
_VALIDATION_SEED: Final = 20_260_302


class Images(NamedTuple):
    """Pixels and the class of each image."""

    pixels: NDArray[np.float32]
    """[image, 3, size, size], about -1 to 1."""
    labels: NDArray[np.int64]
    """[image]"""


class ImageSplits(NamedTuple):
    """The two splits."""

    train: Images
    validation: Images


def images(count: int, seed: int, size: int = 32) -> Images:
    """Return `count` images of `size` by `size` pixels, equally many per class, in random order.

    The same arguments give the same images. Raises ValueError for a negative `count`, or for a
    `size` too small to distinguish the figures.
    """
    if count < 0:
        raise ValueError(f"count must be at least 0, but is {count}; ask for 0 images or more")
    if size < 8:
        raise ValueError(f"size must be at least 8, but is {size}; ask for larger images")
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % len(CLASSES))
    pixels = [_draw(random, int(label), size) for label in labels]
    return Images(np.asarray(pixels, np.float32).reshape(count, 3, size, size), labels)


def image_splits(size: int = 32) -> ImageSplits:
    """Return 640 images for training and 120 for validation, drawn from different seeds."""
    return ImageSplits(
        images(_TRAIN_ROWS, _TRAIN_SEED, size), images(_VALIDATION_ROWS, _VALIDATION_SEED, size)
    )


def _draw(random: np.random.Generator, label: int, size: int) -> NDArray[np.float64]:
    while True:
        ground, figure = random.uniform(-1, 1, (2, 3, 1, 1))
        if np.abs(ground - figure).max() >= _LEAST_CONTRAST:
            break
    noise = random.uniform(-_NOISE, _NOISE, (3, size, size))
    shape = _figure(random, CLASSES[label], size)
    return np.where(shape, figure, ground) + noise  # type: ignore[no-any-return]  # numpy's stubs


def _figure(random: np.random.Generator, name: str, size: int) -> NDArray[np.bool_]:
    """Which pixels belong to the figure, [size, size]."""
    rows, columns = np.mgrid[:size, :size]
    if name.endswith("stripes"):
        width = int(random.integers(size // 8, size // 4, endpoint=True))
        along = rows if name.startswith("horizontal") else columns
        return (along + random.integers(2 * width)) // width % 2 == 0  # type: ignore[no-any-return]  # as above
    radius = int(random.integers(size // 5, size // 3, endpoint=True))
    row, column = random.integers(radius, size - radius, 2)
    down, across = np.abs(rows - row), np.abs(columns - column)
    if name == "disc":
        return down**2 + across**2 <= radius**2  # type: ignore[no-any-return]  # as above
    arm = max(1, radius // 4)
    inside = (down <= radius) & (across <= radius)
    return inside & ((down <= arm) | (across <= arm))  # type: ignore[no-any-return]  # as above

"""Draws the scenes of the built-in data set `shapes`: textured objects over a textured ground.

A scene is built from the back to the front: a mottled background, then objects that hide parts of
one another, then light, lens and sensor. Every object class has its own hue and its own texture,
but the hues of the classes overlap widely, so color alone does not name the class; texture does.
What is hard is where an object ends: corners, spikes, occlusions, and wires a few pixels wide that
a feature map of stride 16 cannot hold.

A scene depends on (split, index) alone, never on the scenes before it or on the number of threads.

Conventions: arrays are [height, width(, channels)], distances in pixels, angles in radians, hues in
turns (0..1), colors and tones float32 in 0..1 until the last step. In the coordinates of an object
(u, v) its center is the origin and its rotation is undone.
"""

from __future__ import annotations

import colorsys
import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]

CLASS_NAMES = ("background", "disc", "square", "triangle", "star", "wire")
COLORS = (
    (38, 38, 46),
    (228, 87, 86),
    (76, 145, 220),
    (245, 188, 66),
    (96, 184, 112),
    (196, 120, 220),
)
IGNORE_LABEL = 255
SPLIT_SIZES = {"train": 3000, "validation": 300}

IMAGE_SIZE = 160

# What makes the data set easier or harder. `python tools/benchmarks/shapes_difficulty.py` says what
# a change does to the share of each class and to what color alone achieves.
SOLID_COUNT = (8, 11)  # discs, squares, triangles and stars in a scene, inclusive
SOLID_RADIUS = (17.0, 32.0)  # of the circle around the object
WIRE_COUNT = (2, 4)  # inclusive
WIRE_WIDTH = (3.2, 5.0)
WIRE_LENGTH = (60.0, 130.0)
RING_RADIUS = (14.0, 26.0)
RING_SHARE = 0.35  # of the wires; the others are straight or bowed rods
HUE_SPREAD = 0.05  # standard deviation around the hue of the class; 0.2 apart are the classes
SATURATION = (0.30, 0.70)  # HSV, of an object
BACKGROUND_SATURATION = (0.15, 0.60)
DARK_TONE = (0.30, 0.55)  # HSV value of a texture's dark color
LIGHT_TONE = (0.65, 0.95)
ILLUMINATION = 0.30  # largest change of the light from the middle to an edge of the image
SHADING = 0.20  # largest change of the light from the middle to an edge of an object
BLUR = (0.2, 0.7)  # weight of the 3x3 binomial filter against the sharp image
NOISE = (0.015, 0.04)  # standard deviation of the sensor noise

# The hues of disc, square, triangle, star and wire. The background takes any hue.
CLASS_HUES = (0.0, 0.2, 0.4, 0.6, 0.8)

# Part of every scene's seed: another number gives another data set.
_SEED = 20180208
_SPLIT_SEEDS = {"train": 0, "validation": 1}


class Scene(NamedTuple):
    """A drawn scene.

    Attributes:
        image: uint8 [160, 160, 3], RGB.
        label: uint8 [160, 160], class ids and `IGNORE_LABEL`.
    """

    image: npt.NDArray[np.uint8]
    label: npt.NDArray[np.uint8]


def draw_scene(split: str, index: int) -> Scene:
    """Draws scene number `index` of a split.

    The same arguments give the same scene in every process. An index beyond `SPLIT_SIZES` is
    allowed: there are as many scenes as one wants.

    Args:
        split: "train" or "validation"; their scenes are independent.
        index: 0 or greater.

    Raises:
        ValueError: if there is no such split or the index is negative.
    """
    if split not in _SPLIT_SEEDS:
        raise ValueError(f"unknown split {split!r}; choices: {', '.join(_SPLIT_SEEDS)}")
    if index < 0:
        raise ValueError(f"index {index} is negative")
    rng = np.random.Generator(np.random.PCG64([_SEED, _SPLIT_SEEDS[split], index]))

    image = _background(rng)
    label = np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    for name in _classes_back_to_front(rng):
        _paint(image, label, name, rng)
    return Scene(_photograph(image, rng), label)


def _classes_back_to_front(rng: np.random.Generator) -> list[str]:
    """The classes of the objects of a scene, in the order of painting."""
    solids = [
        CLASS_NAMES[1 + int(rng.integers(len(_SOLIDS)))]
        for _ in range(int(rng.integers(*SOLID_COUNT, endpoint=True)))
    ]
    wires = ["wire"] * int(rng.integers(*WIRE_COUNT, endpoint=True))
    # Behind the first solids nothing is left of a wire: it is painted after a third of them.
    hidden = len(solids) // 3
    rest = solids[hidden:] + wires
    return solids[:hidden] + [rest[i] for i in rng.permutation(len(rest))]


# --- shapes: (u, v, size) -> inside ---------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Outline:
    """Where an object is, in its own coordinates.

    Attributes:
        reach: no point of the object is farther than this from its center.
        inside: (u, v) float32 [h, w] -> bool [h, w].
    """

    reach: float
    inside: Callable[[Floats, Floats], Mask]


def _disc(rng: np.random.Generator) -> _Outline:
    radius = rng.uniform(*SOLID_RADIUS) * 0.85
    aspect = rng.uniform(0.75, 1.0)
    return _Outline(radius, lambda u, v: u * u + (v / aspect) ** 2 <= radius * radius)


def _square(rng: np.random.Generator) -> _Outline:
    reach = rng.uniform(*SOLID_RADIUS)
    angle = math.atan(rng.uniform(0.65, 1.0))  # between a side and the diagonal
    half_width, half_height = reach * math.cos(angle), reach * math.sin(angle)
    return _Outline(reach, lambda u, v: (np.abs(u) <= half_width) & (np.abs(v) <= half_height))


def _triangle(rng: np.random.Generator) -> _Outline:
    reach = rng.uniform(*SOLID_RADIUS) * 1.1
    angles = [(i + rng.uniform(-0.15, 0.15)) * 2 * math.pi / 3 for i in range(3)]
    corners = [(reach * math.cos(angle), reach * math.sin(angle)) for angle in angles]

    def inside(u: Floats, v: Floats) -> Mask:
        result = np.ones(u.shape, np.bool_)
        for (u0, v0), (u1, v1) in zip(corners, corners[1:] + corners[:1], strict=True):
            result &= (u1 - u0) * (v - v0) - (v1 - v0) * (u - u0) >= 0
        return result

    return _Outline(reach, inside)


def _star(rng: np.random.Generator) -> _Outline:
    reach = rng.uniform(*SOLID_RADIUS) * 1.15
    points = int(rng.integers(4, 6, endpoint=True))
    notch = reach * rng.uniform(0.45, 0.6)  # distance of the inner corners
    sector = math.pi / points  # between the tip of a spike and the next inner corner
    notch_u, notch_v = notch * math.cos(sector), notch * math.sin(sector)

    def inside(u: Floats, v: Floats) -> Mask:
        # All spikes are folded onto the upper half of the one along +u.
        angle = sector - np.abs(np.arctan2(v, u) % (2 * sector) - sector)
        distance = np.hypot(u, v)
        along, across = distance * np.cos(angle), distance * np.sin(angle)
        return (notch_u - reach) * across - notch_v * (along - reach) >= 0

    return _Outline(reach, inside)


def _wire(rng: np.random.Generator) -> _Outline:
    half_width = rng.uniform(*WIRE_WIDTH) / 2
    if rng.uniform() < RING_SHARE:
        radius = rng.uniform(*RING_RADIUS)
        return _Outline(
            radius + half_width, lambda u, v: np.abs(np.hypot(u, v) - radius) <= half_width
        )
    half_length = rng.uniform(*WIRE_LENGTH) / 2
    bow = rng.uniform(-0.4, 0.4) / half_length  # v = bow * u^2

    def inside(u: Floats, v: Floats) -> Mask:
        # Divided by the length of the gradient, the offset is the distance to the curve.
        offset = np.abs(v - bow * u * u) / np.sqrt(1 + (2 * bow * u) ** 2)
        return (offset <= half_width) & (np.abs(u) <= half_length)

    return _Outline(half_length * 1.1 + half_width, inside)


# --- textures: (u, v, rng) -> tone 0 (dark color) .. 1 (light color) ----------------------------


def _dots(u: Floats, v: Floats, rng: np.random.Generator) -> Floats:
    wave = 2 * math.pi / rng.uniform(8.0, 11.0)
    return _tone(3.0 * (np.cos(wave * u) + np.cos(wave * v) - 0.4))


def _checks(u: Floats, v: Floats, rng: np.random.Generator) -> Floats:
    wave = math.pi / rng.uniform(5.0, 7.5)
    return _tone(6.0 * np.sin(wave * u) * np.sin(wave * v))


def _stripes(u: Floats, v: Floats, rng: np.random.Generator) -> Floats:
    wave = 2 * math.pi / rng.uniform(5.5, 8.0)
    return _tone(3.0 * np.sin(wave * u))


def _speckle(u: Floats, v: Floats, rng: np.random.Generator) -> Floats:
    grains = rng.random(u.shape, np.float32)
    coarse = rng.random((u.shape[0] // 2 + 1, u.shape[1] // 2 + 1), np.float32)
    coarse = coarse.repeat(2, axis=0).repeat(2, axis=1)[: u.shape[0], : u.shape[1]]
    return _tone(4.0 * (0.4 * grains + 0.6 * coarse - 0.5))


def _bands(u: Floats, v: Floats, rng: np.random.Generator) -> Floats:
    wave = 2 * math.pi / rng.uniform(9.0, 14.0)
    return _tone(0.6 + np.sin(wave * (u + v)))


def _tone(x: Floats) -> Floats:
    """Maps -1..1 onto 0..1 and cuts off what is beyond."""
    return np.clip(0.5 + 0.5 * x, 0.0, 1.0).astype(np.float32, copy=False)


class _Kind(NamedTuple):
    outline: Callable[[np.random.Generator], _Outline]
    texture: Callable[[Floats, Floats, np.random.Generator], Floats]


_SOLIDS = {
    "disc": _Kind(_disc, _dots),
    "square": _Kind(_square, _checks),
    "triangle": _Kind(_triangle, _stripes),
    "star": _Kind(_star, _speckle),
}
_KINDS = {**_SOLIDS, "wire": _Kind(_wire, _bands)}


# --- painting -------------------------------------------------------------------------------------


def _background(rng: np.random.Generator) -> Floats:
    """A mottled ground of two colors of one hue. [160, 160, 3]"""
    tone = 0.65 * _smooth_noise(5, rng) + 0.35 * _smooth_noise(16, rng)
    return _colored(_tone(2.5 * (tone - 0.5)), rng.uniform(), BACKGROUND_SATURATION, rng)


def _smooth_noise(cells: int, rng: np.random.Generator) -> Floats:
    """Random values in 0..1 on a grid of `cells` cells a side, bilinear between. [160, 160]"""
    grid = rng.random((cells + 1, cells + 1), np.float32)
    position = np.linspace(0, cells, IMAGE_SIZE, endpoint=False, dtype=np.float32)
    left = position.astype(np.intp)
    weight = position - left
    interpolate = np.zeros((IMAGE_SIZE, cells + 1), np.float32)
    interpolate[np.arange(IMAGE_SIZE), left] = 1 - weight
    interpolate[np.arange(IMAGE_SIZE), left + 1] = weight
    return interpolate @ grid @ interpolate.T


def _colored(
    tone: Floats, hue: float, saturation: tuple[float, float], rng: np.random.Generator
) -> Floats:
    """Colors a texture with a dark and a light color of about one hue. [h, w] -> [h, w, 3]"""
    dark, light = (
        np.asarray(
            colorsys.hsv_to_rgb(
                (hue + rng.normal(0, 0.03)) % 1, rng.uniform(*saturation), rng.uniform(*value)
            ),
            np.float32,
        )
        for value in (DARK_TONE, LIGHT_TONE)
    )
    return dark + tone[..., np.newaxis] * (light - dark)


def _paint(
    image: Floats, label: npt.NDArray[np.uint8], name: str, rng: np.random.Generator
) -> None:
    """Draws one object of a class over what is there, at a random place and angle.

    The pixels that touch the object from outside become `IGNORE_LABEL`, as in PASCAL VOC: wires
    keep their width, and there is a border between two objects of one class too.
    """
    class_id = CLASS_NAMES.index(name)
    outline = _KINDS[name].outline(rng)
    center_y, center_x = rng.uniform(0, IMAGE_SIZE), rng.uniform(0, IMAGE_SIZE)
    rows, columns = (_window(center, outline.reach) for center in (center_y, center_x))
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, np.newaxis] - center_y
    x = np.arange(columns.start, columns.stop, dtype=np.float32) - center_x

    mask = outline.inside(*_rotated(x, y, rng.uniform(0, 2 * math.pi)))
    tone = _KINDS[name].texture(*_rotated(x, y, rng.uniform(0, 2 * math.pi)), rng)
    hue = CLASS_HUES[class_id - 1] + rng.normal(0, HUE_SPREAD)
    color = _colored(tone, hue, SATURATION, rng)
    across, _ = _rotated(x, y, rng.uniform(0, 2 * math.pi))
    color *= (1 + rng.uniform(0, SHADING) / outline.reach * across)[..., np.newaxis]

    np.copyto(image[rows, columns], color, where=mask[..., np.newaxis])
    region = label[rows, columns]
    region[_touching(mask)] = IGNORE_LABEL
    region[mask] = class_id


def _window(center: float, reach: float) -> slice:
    """The pixels within `reach` of a center, and one more for the ignored border."""
    return slice(
        max(0, int(center - reach) - 1),
        min(IMAGE_SIZE, int(center + reach) + 3),
    )


def _rotated(x: Floats, y: Floats, angle: float) -> tuple[Floats, Floats]:
    """The coordinates along and across a direction. [w], [h, 1] -> two of [h, w]"""
    cos, sin = math.cos(angle), math.sin(angle)
    return cos * x + sin * y, cos * y - sin * x


def _touching(mask: Mask) -> Mask:
    """The pixels outside of a mask that share a side with a pixel of it."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown & ~mask


def _photograph(image: Floats, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Light from one side, a lens that is not quite sharp and a sensor with noise."""
    steps = np.linspace(-1, 1, IMAGE_SIZE, dtype=np.float32)
    along, _ = _rotated(steps, steps[:, np.newaxis], rng.uniform(0, 2 * math.pi))
    light = 1 + rng.uniform(0, ILLUMINATION) * along
    light += ILLUMINATION * (_smooth_noise(3, rng) - 0.5)
    image = image * light[..., np.newaxis]

    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    columns = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    blurred = (columns[:, :-2] + 2 * columns[:, 1:-1] + columns[:, 2:]) / 16
    image += rng.uniform(*BLUR) * (blurred - image)

    noise = rng.standard_normal(image.shape, np.float32)
    image += rng.uniform(*NOISE) * noise
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)

"""COCO-Stuff (164k): 80 things and 91 stuff classes, of the ids 0..181 that the masks store.

Source: H. Caesar, J. Uijlings, V. Ferrari, COCO-Stuff: Thing and Stuff Classes in Context, CVPR
2018. The masks of stuffthingmaps_trainval2017.zip store COCO's category id - 1; eleven of the
first 91 categories were never annotated.
"""

from __future__ import annotations

from deeplab.data.colors import Color, default_colors
from deeplab.data.tables import names

_THINGS = names("""
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light,
    fire hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant,
    bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard,
    sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle,
    wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot,
    hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop,
    mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock,
    vase, scissors, teddy bear, hair drier, toothbrush
""")
_STUFF = names("""
    banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard, carpet,
    ceiling-other, ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, desk-stuff,
    dirt, door-stuff, fence, floor-marble, floor-other, floor-stone, floor-tile, floor-wood, flower,
    fog, food-other, fruit, furniture-other, grass, gravel, ground-other, hill, house, leaves,
    light, mat, metal, mirror-stuff, moss, mountain, mud, napkin, net, paper, pavement, pillow,
    plant-other, plastic, platform, playingfield, railing, railroad, river, road, rock, roof, rug,
    salad, sand, sea, shelf, sky-other, skyscraper, snow, solid-other, stairs, stone, straw,
    structural-other, table, tent, textile-other, towel, tree, vegetable, wall-brick, wall-concrete,
    wall-other, wall-panel, wall-stone, wall-tile, wall-wood, water-other, waterdrops, window-blind,
    window-other, wood
""")
# Stored ids of street sign, hat, shoe, eye glasses, plate, mirror, window, desk, door, blender and
# hair brush, which no mask holds.
_NEVER_ANNOTATED = frozenset({11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90})
_UNLABELLED = 255

CLASS_NAMES = _THINGS + _STUFF
COLORS: tuple[Color, ...] = default_colors(len(CLASS_NAMES) + 1)[1:]
STORED_IDS = {
    _UNLABELLED: 255,
    **{
        stored: class_id
        for class_id, stored in enumerate(i for i in range(182) if i not in _NEVER_ANNOTATED)
    },
}

SPLIT_SIZES = {"train": 118287, "val": 5000}

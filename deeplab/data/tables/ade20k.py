"""ADE20K, scene parsing benchmark: 150 classes; the masks store class id + 1, and 0 for others.

Source: B. Zhou et al., Scene Parsing through ADE20K Dataset, CVPR 2017; the first name of each line
of its objectInfo150.txt.
"""

from __future__ import annotations

from deeplab.data.colors import Color, default_colors
from deeplab.data.tables import names

CLASS_NAMES = names("""
    wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk,
    person, earth, door, table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf,
    house, sea, mirror, rug, field, armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub,
    railing, cushion, base, box, column, signboard, chest of drawers, counter, sand, sink,
    skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway, case, pool table, pillow,
    screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, flower, book, hill,
    bench, countertop, stove, palm, kitchen island, computer, swivel chair, boat, bar,
    arcade machine, hovel, bus, towel, light, truck, tower, chandelier, awning, streetlight, booth,
    television receiver, airplane, dirt track, apparel, pole, land, bannister, escalator, ottoman,
    bottle, buffet, poster, stage, van, ship, fountain, conveyer belt, canopy, washer, plaything,
    swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike, cradle, oven, ball, food,
    step, tank, trade name, microwave, pot, animal, bicycle, lake, dishwasher, screen, blanket,
    sculpture, hood, sconce, vase, traffic light, tray, ashcan, fan, pier, crt screen, plate,
    monitor, bulletin board, shower, radiator, glass, clock, flag
""")
# The first colour of the map is black, and stays what is not a class.
COLORS: tuple[Color, ...] = default_colors(len(CLASS_NAMES) + 1)[1:]
# 0 is no class; the masks hold nothing above 150.
STORED_IDS = {0: 255, **{class_id + 1: class_id for class_id in range(len(CLASS_NAMES))}}

SPLIT_SIZES = {"train": 20210, "val": 2000}

"""Reading a whole data set once, in parallel, and collecting what is wrong with it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import heapq
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deeplab.data.builders import DATASETS
from deeplab.data.checking.inspect import Facts, MaskRule, inspect, read_colors, read_mask
from deeplab.data.checking.result import CheckResult, Example, SplitTally
from deeplab.data.checking.samples import Duplicates, Sample, samples_of_records, samples_of_source
from deeplab.data.colors import Color, default_colors
from deeplab.data.config import DataConfig
from deeplab.data.files.mask_ids import IdRule, check_something_to_learn
from deeplab.data.files.problems import KINDS, FileError, Problem
from deeplab.data.prepared.dataset import PreparedDataset
from deeplab.data.prepared.load import find_source, load_dataset
from deeplab.data.sources.classes import read_class_file
from deeplab.data.sources.folder import scan_two_folders
from deeplab.data.sources.pair_tally import PairTally
from deeplab.data.sources.pairs import Source, find_split
from deeplab.errors import unknown_name
from deeplab.page import lot, thumbnail
from deeplab.progress import track

_EXAMPLES = 12
_EXAMPLE_SIDE = 320  # pixels


class Uses(NamedTuple):
    """What two splits are for."""

    training: str
    evaluation: str


def check_named(
    config: DataConfig,
    *,
    data_dir: str | None = None,
    source_dir: str | None = None,
    silent: bool = False,
) -> CheckResult:
    """Checks a data set by name: its raw files if it is prepared from pairs of them, else records.

    Args:
        config: names the data set, and the splits that must not share images.
        data_dir: as of `load_dataset`; something is written there only if there are no raw files.
        source_dir: as of `load_dataset`.
        silent: whether to show no progress.

    Raises:
        DeepLabError: if the data set cannot even be listed.
    """
    name = config.dataset
    spec = DATASETS[name]
    uses = Uses(config.train_split or spec.train_split, config.eval_split or spec.eval_split)
    source = find_source(name, data_dir=data_dir, source_dir=source_dir)
    if source is not None:
        title = f"{source.path.name} ({name})"
        return _check_source(title, source, uses, silent=silent)
    # A split that is missing is a problem below; one that another builder holds must be asked for.
    extra = [split for split in config.named_splits if split in spec.extra_splits]
    dataset = load_dataset(name, data_dir=data_dir, source_dir=source_dir, splits=extra)
    return _check_records(dataset, uses, silent=silent)


def check_folders(
    images: Path, labels: Path, classes: Path, *, silent: bool = False
) -> CheckResult:
    """Checks a folder of images with a folder of masks.

    Args:
        images: folder with .jpg, .jpeg or .png files, or those that more channels need; folders
            in it named as splits are splits.
        labels: folder with .png files of the same relative paths.
        classes: a class list, as of `read_class_file`.
        silent: whether to show no progress.

    Raises:
        DeepLabError: if a folder or the class list cannot be read, or there are no images.
    """
    source = scan_two_folders(images, images, labels, read_class_file(classes))
    return _check_source(images.name, source, Uses("train", "val"), silent=silent)


def _check_source(title: str, source: Source, uses: Uses, *, silent: bool) -> CheckResult:
    classes = source.classes
    return _check(
        title,
        samples_of_source(source),
        MaskRule(classes.id_rule, classes.names, stored_ids=source.stored_ids),
        colors=classes.colors or default_colors(len(classes.names)),
        base=source.path if source.path.is_dir() else source.path.parent,
        uses=uses,
        problems=source.problems,
        notes=[source.note] if source.note else [],
        silent=silent,
    )


def _check_records(dataset: PreparedDataset, uses: Uses, *, silent: bool) -> CheckResult:
    return _check(
        dataset.name,
        samples_of_records(dataset),
        MaskRule(
            IdRule(dataset.num_classes, dataset.ignore_label),
            dataset.class_names,
            dataset.label_map,
        ),
        colors=dataset.colors,
        uses=uses,
        notes=[f"checked as prepared in {dataset.data_dir}"],
        silent=silent,
    )


def _check(
    title: str,
    samples: Sequence[Sample],
    rule: MaskRule,
    *,
    colors: Sequence[Color],
    uses: Uses,
    notes: Sequence[str],
    silent: bool,
    base: Path | None = None,
    problems: Sequence[Problem] = (),
) -> CheckResult:
    found = list(problems)
    splits: dict[str, SplitTally] = {}
    forms: Counter[str] = Counter()
    duplicates = Duplicates(uses)
    usable: list[Sample] = []
    # Pillow decodes outside of Python's lock: threads use all cores and need no second start.
    with (
        track("checking", len(samples), unit="images", silent=silent) as progress,
        concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool,
        _inspections(pool, samples, rule) as results,
    ):
        for facts in results:
            sample = facts.sample
            splits.setdefault(sample.split, SplitTally.empty(len(rule.class_names))).add(facts)
            found += facts.problems
            if facts.form is not None:
                forms[facts.form] += 1
            if facts.image_hash is not None:
                twice = duplicates.add(facts.image_hash, sample)
                found += [twice] if twice else []
            if all(problem.is_warning for problem in facts.problems):
                usable.append(sample)
            progress.advance()
    where = base or Path(title)
    total = PairTally.total(tally.pairs for tally in splits.values())
    found = _whole(found, splits, total, rule, where, uses) + _missing_splits(splits, where, uses)
    order = list(KINDS)
    return CheckResult(
        title=title,
        base=base,
        class_names=rule.class_names,
        colors=colors,
        ignore_label=rule.ids.ignore_label,
        splits=splits,
        problems=tuple(sorted(found, key=lambda problem: order.index(problem.kind))),
        notes=(*notes, *_notes(splits, forms, rule), *total.turned_notes()),
        mask_forms=dict(forms),
        examples=tuple(_example(sample, rule) for sample in _choose(usable)),
    )


@contextlib.contextmanager
def _inspections(
    pool: concurrent.futures.Executor, samples: Sequence[Sample], rule: MaskRule
) -> Iterator[Iterator[Facts]]:
    """The facts of all samples in their order; what is not begun is given up after an error."""
    futures = [pool.submit(inspect, sample, rule) for sample in samples]
    futures.reverse()
    try:
        # Taken from the list, a result is forgotten as soon as it has been used.
        yield (futures.pop().result() for _ in samples)
    finally:
        for future in futures:
            future.cancel()


def _whole(
    found: list[Problem],
    splits: Mapping[str, SplitTally],
    total: PairTally,
    rule: MaskRule,
    where: Path,
    uses: Uses,
) -> list[Problem]:
    """Adds what is wrong with all masks together, and drops what repeats it file by file."""
    if not total.ids:
        return found  # no mask could be used, and each says why
    collapsed = {problem.file for problem in found if problem.kind == "single_class"}
    others = [problem for problem in found if problem.kind != "single_class"]
    try:
        check_something_to_learn(total.ids, rule.ids, where)
    except FileError as error:
        return [*others, error.problem]
    lost = total.lost_objects(rule.ids)
    training = find_split(uses.training, splits)
    if training is not None and splits[training].pairs.ids:
        of_training = splits[training].pairs
        try:
            check_something_to_learn(of_training.ids, rule.ids, where, training)
        except FileError as error:
            return [*found, error.problem]
        lost = lost or of_training.lost_objects(rule.ids, training)
    if lost:
        return [*found, Problem("binary_mask", where, lost, is_warning=True)]
    classes = [i for i in sorted(total.ids) if i not in rule.ids.ignored]
    if len(classes) == 1 and len(collapsed) > 1:
        name = f"{rule.class_names[classes[0]]!r} (id {classes[0]})"
        detail = f"all {len(collapsed)} masks hold nothing but {name}"
        return [*others, Problem("single_class", where, detail, is_warning=True)]
    return found


def _missing_splits(splits: Mapping[str, SplitTally], where: Path, uses: Uses) -> list[Problem]:
    """What training would miss."""
    if not splits:
        return []  # no image can be used, and each says why
    return [
        Problem(
            "missing_image",
            where,
            f"{unknown_name('split', split, splits)} ({purpose}; DataConfig.{setting} names "
            "another one)",
        )
        for split, purpose, setting in (
            (uses.training, "it is what is trained on", "train_split"),
            (uses.evaluation, "training evaluates on it unless EVAL_STEPS is 0", "eval_split"),
        )
        if find_split(split, splits) is None
    ]


def _notes(splits: Mapping[str, SplitTally], forms: Counter[str], rule: MaskRule) -> list[str]:
    notes = []
    wide = forms["16-bit grey"]
    if wide:
        notes.append(f"{wide} of {forms.total()} masks are 16-bit PNG")
    present = [tally.class_pixels > 0 for tally in splits.values()]
    seen = np.any(present, axis=0) if present else np.zeros(len(rule.class_names), bool)
    absent = [name for name, is_seen in zip(rule.class_names, seen, strict=True) if not is_seen]
    if absent:
        count = f"{len(absent)} of {len(rule.class_names)}"
        notes.append(f"{count} classes have no pixel: {', '.join(absent)}")
    return notes


def _choose(usable: Sequence[Sample]) -> list[Sample]:
    """Some of every split, by a hash of their names: another check shows the same ones."""
    splits = dict.fromkeys(sample.split for sample in usable)
    share = -(-_EXAMPLES // max(len(splits), 1))
    chosen = [
        heapq.nsmallest(
            share,
            (sample for sample in usable if sample.split == split),
            key=lambda sample: lot(sample.pair.id),
        )
        for split in splits
    ]
    return [sample for group in chosen for sample in group][:_EXAMPLES]


def _example(sample: Sample, rule: MaskRule) -> Example:
    labels, _ = rule.ids.labels(read_mask(sample, rule).ids, sample.pair.label)
    image, labels = thumbnail(_EXAMPLE_SIDE, read_colors(sample), labels)
    is_named = sample.pair.id.startswith(f"{sample.split}/")
    name = sample.pair.id if is_named else f"{sample.split}: {sample.pair.id}"
    return Example(name, image, labels)

"""Preparation of very large source folders by TFDS on Apache Beam.

Every pair is read, checked and encoded by a worker of the pipeline; TFDS sorts and writes the
records, which are those that the loop on one machine would write. The workers must see the files
under the same paths as the machine that starts the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from deeplab.data.files.mask_ids import IdRule
from deeplab.data.sources.pair_tally import PairTally, judge
from deeplab.data.sources.pairs import TRAINING, Pair, find_split
from deeplab.errors import DeepLabError
from deeplab.progress import warn

Features = dict[str, Any]
Encode = Callable[[Pair], tuple[Features, PairTally]]

# Stands before a message inside the text of an error that a runner raises, and behind it.
_BEGIN, _END = "[deeplab: ", " :deeplab]"


def beam_options(flags: Sequence[str]) -> Any:
    """Beam's options of a command line.

    Args:
        flags: such as ("--runner=DirectRunner", "--direct_num_workers=8").

    Raises:
        DeepLabError: if Apache Beam is missing, or a flag is not one of its.
    """
    try:
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise DeepLabError(
            "preparing with Apache Beam needs it installed: pip install 'deeplab[beam]'"
        ) from error
    try:
        options = PipelineOptions(flags=list(flags))
        unknown = options.get_all_options(retain_unknown_options=True).keys() - (
            PipelineOptions(flags=[]).get_all_options().keys()
        )
    except SystemExit as error:  # of its argument parser
        raise DeepLabError(f"Apache Beam does not take the options {' '.join(flags)}") from error
    if unknown:
        raise DeepLabError(f"Apache Beam knows no option {', '.join(sorted(unknown))}")
    return options


def beam_examples(
    pairs: Sequence[Pair],
    encode: Encode,
    rule: IdRule,
    split: str,
    tallies: dict[str, Any],
    *,
    where: Path | None,
) -> Any:
    """The transform that gives TFDS the examples of a split.

    Args:
        pairs: what the split holds.
        encode: pair -> features and its tally; it can be pickled.
        rule: the ids of classes.
        split: its name.
        tallies: collects, while the pipeline is built, what the pairs of each split are together.
        where: the source's folder if this is the last split, after which the pairs of all splits
            and those of the training split are judged; None before.

    Returns:
        A beam.PTransform from nothing to (number, features).
    """
    import apache_beam as beam

    def build(start: Any) -> Any:
        encoded = (
            start
            | "Pairs" >> beam.Create(list(enumerate(pairs)), reshuffle=True)
            | "Encode" >> beam.Map(_encode_numbered, encode)
        )
        tallies[split] = (
            encoded
            | "Tallies" >> beam.Map(_tally)
            | "TallyOfSplit" >> beam.CombineGlobally(PairTally.total).without_defaults()
        )
        if where is not None:
            training = find_split(TRAINING, tallies)
            of_training = training and beam.pvalue.AsSingleton(tallies[training])
            _ = (
                list(tallies.values())
                | "TalliesOfSplits" >> beam.Flatten()
                | "Total" >> beam.CombineGlobally(PairTally.total).without_defaults()
                | "Judge" >> beam.Map(_judge, rule, where, training, of_training)
            )
        return encoded | "Features" >> beam.Map(_features)

    return beam.ptransform_fn(build)()


def message_of(error: Exception) -> DeepLabError | None:
    """The error of ours that made a pipeline fail, None if another one did."""
    # Runners raise errors of their own, with the traceback of the worker as text.
    _, found, rest = str(error).rpartition(_BEGIN)
    return DeepLabError(rest.partition(_END)[0]) if found else None


def _encode_numbered(numbered: tuple[int, Pair], encode: Encode) -> tuple[int, Features, PairTally]:
    number, pair = numbered
    try:
        return number, *encode(pair)
    except DeepLabError as error:
        _fail(error)


def _judge(
    total: PairTally,
    rule: IdRule,
    where: Path,
    training: str | None,
    of_training: PairTally | None,
) -> None:
    try:
        for remark in judge(total, rule, where, training, of_training):
            warn(remark)
    except DeepLabError as error:
        _fail(error)


def _fail(error: DeepLabError) -> NoReturn:
    raise DeepLabError(f"{_BEGIN}{error}{_END}") from error


def _features(encoded: tuple[int, Features, PairTally]) -> tuple[int, Features]:
    return encoded[:2]


def _tally(encoded: tuple[int, Features, PairTally]) -> PairTally:
    return encoded[2]

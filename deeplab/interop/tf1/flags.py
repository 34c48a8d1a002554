"""Reads the command line flags of the original programs.

Those of common.py, train.py, eval.py, vis.py and export_model.py of research/deeplab.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from deeplab.errors import DeepLabError

_TRUE, _FALSE = ("1", "true", "t", "yes"), ("0", "false", "f", "no")


class _Kind(NamedTuple):
    """How the values of a flag are read: each text, and then all of them."""

    read: Callable[[str], Any]
    join: Callable[[list[Any]], Any]


def _bool(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(text)


def _comma_list(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part.strip())


def _last(values: list[Any]) -> Any:
    return values[-1]


_INT = _Kind(int, _last)
_FLOAT = _Kind(float, _last)
_TEXT = _Kind(str, _last)
_BOOL = _Kind(_bool, _last)
_INT_LIST = _Kind(_comma_list, _last)
_INTS = _Kind(_comma_list, lambda values: tuple(item for value in values for item in value))
_FLOATS = _Kind(float, tuple)


class _Flag(NamedTuple):
    """A flag that describes a network.

    Attributes:
        kind: how it is read.
        default: what it is where nobody gives it. Not as in the original: output_stride is 8 in
            export_model.py alone, and crop_size 513 by 513 is none here, since a network without
            static shapes takes images of any size.
        part: the one of `loading.PARTS` that it shapes. What is left out contradicts nothing.
    """

    kind: _Kind
    default: Any
    part: str | None = None


_NETWORK: dict[str, _Flag] = {
    "model_variant": _Flag(_TEXT, "mobilenet_v2"),
    "output_stride": _Flag(_INT, 16),
    "atrous_rates": _Flag(_INTS, (), "aspp"),
    "num_classes": _Flag(_INT, 21, "logits"),
    "crop_size": _Flag(_INTS, ()),
    "multi_grid": _Flag(_INTS, ()),
    "depth_multiplier": _Flag(_FLOAT, 1.0),
    "divisible_by": _Flag(_INT, None),
    "add_image_level_feature": _Flag(_BOOL, True, "image_pooling"),
    "image_pooling_crop_size": _Flag(_INT_LIST, ()),
    "image_pooling_stride": _Flag(_INT_LIST, (1, 1)),
    "image_se_uses_qsigmoid": _Flag(_BOOL, False),
    "aspp_with_batch_norm": _Flag(_BOOL, True),
    "aspp_with_separable_conv": _Flag(_BOOL, True, "aspp"),
    "aspp_with_concat_projection": _Flag(_BOOL, True, "concat_projection"),
    "aspp_with_squeeze_and_excitation": _Flag(_BOOL, False, "image_pooling"),
    "aspp_convs_filters": _Flag(_INT, 256, "aspp"),
    "decoder_output_stride": _Flag(_INT_LIST, (), "decoder"),
    "decoder_use_separable_conv": _Flag(_BOOL, True, "decoder"),
    "decoder_use_sum_merge": _Flag(_BOOL, False, "decoder"),
    "decoder_filters": _Flag(_INT, 256, "decoder"),
    "decoder_output_is_logits": _Flag(_BOOL, False, "decoder"),
    "logits_kernel_size": _Flag(_INT, 1, "logits"),
    "merge_method": _Flag(_TEXT, "max"),
    "image_pyramid": _Flag(_FLOATS, (1.0,)),
    "dense_prediction_cell_json": _Flag(_TEXT, None, "meta_architecture"),
    "nas_stem_output_num_conv_filters": _Flag(_INT, 20),
    "nas_use_classification_head": _Flag(_BOOL, False),
    "nas_remove_os32_stride": _Flag(_BOOL, False),
    "use_bounded_activation": _Flag(_BOOL, False),
    "quantize_delay_step": _Flag(_INT, -1),
}
DEFAULTS = {name: flag.default for name, flag in _NETWORK.items()}
PART_OF_FLAG = {name: flag.part for name, flag in _NETWORK.items()}
# Flags that say how predictions are made.
PROTOCOL_FLAGS = {
    "eval_scales": _FLOATS,
    "add_flipped_images": _BOOL,
    "prediction_with_upsampled_logits": _BOOL,
}
# All that are read.
NETWORK_FLAGS: dict[str, _Kind] = {
    **{name: flag.kind for name, flag in _NETWORK.items()},
    **PROTOCOL_FLAGS,
    "dataset": _TEXT,
}
_OTHER_NAMES = {
    "eval_crop_size": "crop_size",
    "vis_crop_size": "crop_size",
    "train_crop_size": "crop_size",
    "inference_scales": "eval_scales",
}

# Flags of the same programs that change no network: paths, resizing, training, logging.
WITHOUT_EFFECT = frozenset(
    """
    adam_epsilon adam_learning_rate alsologtostderr also_save_raw_predictions base_learning_rate
    batch_norm_decay checkpoint_dir checkpoint_path clone_on_cpu colormap_type dataset_dir
    decay_steps drop_path_keep_prob end_learning_rate eval_batch_size eval_interval_secs
    eval_logdir eval_split export_path fine_tune_batch_norm hard_example_mining_step
    initialize_last_layer keep_aspect_ratio label_weights last_layer_gradient_multiplier
    last_layers_contain_logits_only learning_policy learning_power learning_rate_decay_factor
    learning_rate_decay_step log_steps logtostderr master max_number_of_evaluations
    max_number_of_iterations max_resize_value max_scale_factor min_resize_value min_scale_factor
    momentum num_clones num_ps_tasks num_replicas optimizer preprocessed_images_dtype
    profile_logdir resize_factor save_inference_graph save_interval_secs save_summaries_images
    save_summaries_secs scale_factor_step_size slow_start_burnin_type slow_start_learning_rate
    slow_start_step startup_delay_steps stderrthreshold sync_batch_norm_method task
    tf_initial_checkpoint top_k_percent_pixels train_batch_size train_logdir train_split
    training_number_of_steps upsample_logits use_tpu v verbosity vis_batch_size vis_logdir
    vis_split weight_decay
    """.split()
)


class OriginalFlags(NamedTuple):
    """What a command line of the original says.

    Attributes:
        values: flags that describe a network, by name, typed; those that were given.
        without_effect: names of the others.
    """

    values: dict[str, Any]
    without_effect: tuple[str, ...]


def parse_flags(flags: str | Sequence[str]) -> OriginalFlags:
    """Reads flags as absl would.

    Args:
        flags: a command line as it was typed, with or without the program, or its words.

    Raises:
        DeepLabError: for a flag that no program of the original has, or a value that it would not
            take.
    """
    words = _without_program(_words(flags) if isinstance(flags, str) else list(flags))
    known = {*NETWORK_FLAGS, *_OTHER_NAMES, *WITHOUT_EFFECT}
    given: dict[str, list[str]] = {}
    without_effect: list[str] = []
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            raise DeepLabError(f"original flags: {word!r} is not a flag")
        name, equals, text = word.lstrip("-").partition("=")
        if name not in known and name.startswith("no") and name[2:] in known and not equals:
            name, equals, text = name[2:], "=", "false"
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean --{near[0]}?" if near else ", nor has any of its programs"
            raise DeepLabError(f"the original has no flag --{name}{hint}")
        name = _OTHER_NAMES.get(name, name)
        if name in WITHOUT_EFFECT:
            without_effect.append(name)
            if not equals and words and _is_value(words[0]):
                words.pop(0)
            continue
        if not equals:
            if NETWORK_FLAGS[name] is _BOOL:
                text = "true"
            elif words and _is_value(words[0]):
                text = words.pop(0)
            else:
                raise DeepLabError(f"original flag --{name} has no value")
        given.setdefault(name, []).append(text)
    return OriginalFlags(
        {name: _typed(name, texts) for name, texts in given.items()},
        tuple(dict.fromkeys(without_effect)),
    )


def _words(command_line: str) -> list[str]:
    try:
        # A backslash at the end of a line continues it; shlex would keep the line's end.
        return shlex.split(re.sub(r"\\\r?\n", " ", command_line))
    except ValueError as error:
        raise DeepLabError(f"original flags: {str(error).lower()} in {command_line!r}") from error


def _without_program(words: list[str]) -> list[str]:
    """The words behind `python deeplab/eval.py`, if there is such a beginning."""
    first = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    return words[first:] if first and words[first - 1].endswith(".py") else words


def _is_value(word: str) -> bool:
    """Whether a word behind a flag is its value: no flag, but maybe a negative number."""
    return not word.startswith("-") or bool(re.match(r"-\d", word))


def _typed(name: str, texts: list[str]) -> Any:
    kind = NETWORK_FLAGS[name]
    try:
        return kind.join([kind.read(text) for text in texts])
    except ValueError as error:
        raise DeepLabError(f"original flag --{name} cannot be {' '.join(texts)!r}") from error

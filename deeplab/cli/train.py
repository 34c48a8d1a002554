"""`deeplab train`: trains a model, or resumes a run."""

from __future__ import annotations

import os

from absl import flags

from deeplab.cli import model_folder, shared_flags
from deeplab.cli.command import Command, UsageError
from deeplab.cli.quiet import import_tensorflow

# As in deeplab.training.distribution.strategies, which `--help` cannot wait for.
STRATEGIES = ["auto", "one_device", "mirrored", "multi_worker", "tpu"]
CLUSTERS = ["tf_config", "slurm", "kubernetes"]  # as in deeplab.training.distribution.cluster


def _run(values: flags.FlagValues) -> int:
    model_dir = values.model_dir
    resumed_dir = None
    if not values.gin_file:
        resumed_dir = _run_to_resume(model_dir)
    elif model_dir is None and not values.dry_run:
        raise UsageError("missing flag --model_dir (deeplab train --help lists the flags)")

    import_tensorflow(verbose=values.v > 0)
    from deeplab.configuration import read_configuration
    from deeplab.training import train
    from deeplab.training.distribution.cluster import resolve_cluster

    if model_dir is not None and not values.dry_run:
        cluster = resolve_cluster(values.cluster)
        if cluster is None or cluster.is_chief:  # the others only read it
            shared_flags.require_writable(model_dir)
    configuration = read_configuration(
        values.gin_file, values.gin_bindings, from_model_dir=resumed_dir
    )
    if values.dry_run or model_dir is None:
        print(configuration.operative_text)
        return 0
    train(
        configuration.train,
        model_dir=model_dir,
        data_dir=values.data_dir,
        source_dir=values.source_dir,
        strategy=values.strategy,
        cluster=values.cluster,
        # Each worker before it joins the others, who have a time limit.
        init_from=model_folder.resolve(values.init_from),
        deterministic=values.deterministic,
        recorded_files={
            "config.gin": configuration.config_text,
            "operative_config.gin": configuration.operative_text,
        },
    )
    return 0


def _run_to_resume(model_dir: str | None) -> str:
    """The folder whose config.gin stands for the gin file that was not given."""
    if model_dir is None:
        raise UsageError("missing flag --gin_file (deeplab train --help lists the flags)")
    if not os.path.isfile(os.path.join(model_dir, "config.gin")):
        raise UsageError(
            f"missing flag --gin_file: there is no run to resume in --model_dir={model_dir}"
        )
    return model_dir


COMMAND = Command(
    name="train",
    summary="Trains a model, or resumes a run.",
    example="deeplab train --gin_file=runs/shapes_mobilenet_v2.gin --model_dir=models/shapes",
    own_flags=(
        *shared_flags.GIN,
        model_folder.new_model_folder(
            "folder of the run; without --gin_file a run in it is resumed with its own config.gin",
        ),
        *shared_flags.DATA,
        flags.EnumFlag("strategy", "auto", "what to run on", STRATEGIES),
        flags.EnumFlag(
            "cluster",
            "tf_config",
            "how the workers of a job on several machines find each other",
            CLUSTERS,
        ),
        model_folder.model_folder(
            "init_from", "model_dir of another run, whose weights are the initial ones"
        ),
        shared_flags.switch("deterministic", "repeatable to the bit on this machine; slower"),
        shared_flags.switch("dry_run", "check and print the configuration, create nothing"),
    ),
    run=_run,
)

"""The weights that a run goes on from, and how its batch norm treats them."""

from __future__ import annotations

from deeplab.data import training_batches
from deeplab.run_folder import Checkpoint, read_description, restore_checkpoint
from deeplab.training.batch_norm import batch_norms, folded_batch_norms, freeze, measure_statistics
from deeplab.training.distribution.job import average_over_workers
from deeplab.training.initial_weights import StartingPoint, initialize_from
from deeplab.training.run import Run


def load_weights(run: Run, latest: Checkpoint | None, init_from: str | None) -> StartingPoint:
    """Resumes, or starts from another model, or from scratch; says which."""
    if latest is not None:
        restore_checkpoint(latest, run.checkpoint_groups())
        print(f"resuming from step {latest.step}", flush=True)
        if init_from:
            print(f"--init_from={init_from} has no effect on a run that is resumed", flush=True)
        description = read_description(run.model_dir)
        return StartingPoint(description.weights_source, description.batch_norm_folded)
    if init_from:
        start = initialize_from(run.model, init_from)
    else:
        start = StartingPoint(f"random initial values of seed {run.config.seed}", False)
    print(f"weights: {start.source}", flush=True)
    return start


def set_up_batch_norm(run: Run, start: StartingPoint, *, is_new: bool) -> StartingPoint:
    """Freezes batch norm, or measures its statistics first where they had been folded away."""
    for layer in batch_norms(run.model):
        layer.synchronised = run.config.sync_batch_norm
    wanted = run.config.train_batch_norm
    if wanted is False:
        freeze(batch_norms(run.model))
        print("batch norm: frozen", flush=True)
        return start
    if wanted is None and start.batch_norm_folded:
        layers = folded_batch_norms(run.model)
        freeze(layers)
        print(
            f"batch norm: frozen in the {len(layers)} layers whose weights came without statistics",
            flush=True,
        )
        return start
    if start.batch_norm_folded and is_new:
        batches = training_batches(
            run.dataset,
            run.config.data,
            global_batch_size=run.config.global_batch_size,
            pad_value=run.pad_value,
            seed=run.config.seed,
            worker_index=run.workers.index,
            num_workers=run.workers.count,
            replicas_per_worker=run.strategy.num_replicas_in_sync // run.workers.count,
        )
        count = measure_statistics(run.model, batches) * run.workers.count
        average_over_workers(run)
        print(f"batch norm: statistics measured on {count} training images", flush=True)
        return StartingPoint(start.source, False)
    return start

"""Watching the numbers of the steps: progress, log, and a stop when the loss is not finite."""

from __future__ import annotations

import math
import time
from typing import Any

from deeplab.errors import DeepLabError
from deeplab.model_dir import CHECKPOINT_FOLDER, list_checkpoints
from deeplab.progress import Progress, warn
from deeplab.training.monitoring.input_wait import InputWait
from deeplab.training.monitoring.run_log import RunLog
from deeplab.training.run import Run
from deeplab.training.step import StepResult


class Watch:
    """Looks at the loss of every step, one step late: the device computes while Python looks."""

    def __init__(self, run: Run, log: RunLog, wait: InputWait[Any] | None) -> None:
        """Starts the clock; `wait` is where the batches come from, if Python fetches them."""
        self._run = run
        self._log = log
        self._wait = wait
        self._pending: tuple[int, StepResult, Any] | None = None
        self._notes: tuple[str, ...] = ()  # of the step before, the most important first
        self._speed: tuple[str, ...] = ()  # of the last interval
        self._pace: float | None = None
        self.restart_clock()

    def restart_clock(self) -> None:
        """What took time until now is not part of the speed of the steps."""
        self._clock, self._since_log = time.perf_counter(), 0
        if self._wait:
            self._wait.restart()

    def set_pace(self, steps_per_second: float) -> None:
        """Says how fast the next steps to be added were, which were all made in one call."""
        self._pace = steps_per_second

    def add(self, step: int, result: StepResult, batch: Any, progress: Progress) -> None:
        """Takes the result of a step and checks the one before it."""
        self.check()
        self._pending = (step, result, batch)
        self._since_log += 1
        if step % self._run.config.log_steps == 0:
            self.check()
            self._log_entry(step, result)
        progress.advance(1, notes=(*self._notes, *self._speed))
        complaint = self._wait.complaint() if self._wait else None
        if complaint and self._run.is_chief:
            warn(complaint)

    def check(self) -> None:
        """Waits for the last result and raises if its loss is not finite."""
        if self._pending is None:
            return
        step, result, batch = self._pending
        self._pending = None
        loss, norm = float(result.loss), float(result.gradient_norm)
        self._notes = (
            f"loss {loss:.3f}",
            f"lr {float(result.learning_rate):.2g}",
            f"grad norm {norm:.3g}",
        )
        # A skipped step has changed nothing, and loss scaling is about to do something about it.
        if math.isfinite(loss) and (math.isfinite(norm) or bool(result.skipped)):
            return
        saved = list_checkpoints(self._run.model_dir / CHECKPOINT_FOLDER)
        last = f"the last checkpoint is of step {saved[-1].step}" if saved else "nothing was saved"
        raise DeepLabError(
            f"the loss is {loss} and its gradient {norm} at step {step}; "
            f"{last}; images of this step: {', '.join(self._ids(batch))}"
        )

    def _ids(self, batch: Any) -> list[str]:
        local = self._run.strategy.experimental_local_results(batch["id"])
        return [raw.decode("utf-8", "replace") for ids in local for raw in ids.numpy()]

    def _log_entry(self, step: int, result: StepResult) -> None:
        seconds = time.perf_counter() - self._clock
        rate = self._pace or self._since_log / max(seconds, 1e-9)
        values = {
            "loss": float(result.loss),
            "weight_decay_loss": float(result.penalty),
            "gradient_norm": float(result.gradient_norm),
            "learning_rate": float(result.learning_rate),
            "steps_per_second": rate,
            "images_per_second": rate * self._run.config.global_batch_size,
        }
        self._speed = (f"{values['images_per_second']:.1f} images/s",)
        if self._wait:
            values["input_wait_share"] = self._wait.share()
            self._speed = (f"input bound {values['input_wait_share']:.0%}", *self._speed)
        if self._run.loss_scale:
            values["loss_scale"] = float(result.loss_scale)
        # JSON knows no infinity; a skipped step has no gradient to tell of.
        self._log.train(step, {n: value for n, value in values.items() if math.isfinite(value)})
        self.restart_clock()

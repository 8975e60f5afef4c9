"""A training by Hugging Face's Trainer that is stopped in all ways: for tests/frameworks, and as a program of ranks.

    python -m torch.distributed.run --nproc-per-node 2 hf_trainer.py whole.json DATA FOLDER '{"accumulate": 2}' …

runs one training for each set of options, and rank r writes the list of what they did to whole.json.r.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

import shardline
from shardline.integrations.transformers import LoaderMixin

ROWS, BATCH, EPOCHS = 803, 16, 3


class Net(nn.Module):
    """A small net with dropout, whose random numbers are restored too, that notes what it was trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.drop, self.last = nn.Linear(2, 8), nn.Dropout(0.2), nn.Linear(8, 1)
        self.seen: list[list[int]] = []

    def forward(self, i: torch.Tensor, x: torch.Tensor) -> dict[str, torch.Tensor]:
        if self.training:
            self.seen.append(i.tolist())
        hidden = self.first(torch.stack([i.float() / ROWS, x / ROWS], dim=1))
        loss = (self.last(self.drop(torch.relu(hidden))).squeeze(1) - x / ROWS).pow(2).mean()
        return {"loss": loss}


class Stop(TrainerCallback):
    """Ends a run at a step: `how` is "error", "early" (should_training_stop) or "epoch" (should_epoch_stop)."""

    def __init__(self, step: int | None, how: str) -> None:
        self.step, self.how = step, how
        self.done_at: dict[int, int] = {}
        """Batches trained on, by step."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        model = getattr(kwargs["model"], "module", kwargs["model"])
        self.done_at[state.global_step] = len(model.seen)
        if state.global_step == self.step:
            if self.how == "early":
                control.should_training_stop = True
            if self.how == "epoch":
                control.should_epoch_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._raise(state)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._raise(state)

    def _raise(self, state: Any) -> None:
        if self.how == "error" and self.step is not None and state.global_step >= self.step:
            raise InterruptedError


class ParquetTrainer(LoaderMixin, Trainer):
    pass


def loader_of(data: Path, **options: Any) -> shardline.DataLoader:
    given = {"batch_size": BATCH, "shuffle": True, "shuffle_seed": 3, **options}
    return shardline.DataLoader(data, **given)


def arguments(folder: Path, accumulate: int = 1, **options: Any) -> TrainingArguments:
    given = {"save_strategy": "steps", "save_steps": 5, "num_train_epochs": EPOCHS, **options}
    fixed = {"use_cpu": True, "report_to": "none", "disable_tqdm": True, "learning_rate": 0.01, "seed": 5}
    steady = {"lr_scheduler_type": "constant", "logging_steps": 1000, "gradient_accumulation_steps": accumulate}
    return TrainingArguments(str(folder), **{**fixed, **steady, **given})


def train(
    data: Path,
    folder: Path,
    *,
    stop: int | None = None,
    how: str = "error",
    resume: bool = False,
    trainer: Any = ParquetTrainer,
    loader: dict[str, Any] | None = None,
    callbacks: tuple[Any, ...] = (),
    given: dict[str, Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """What a run was trained on, the batches done at each of its steps, its last step and its weights.

    `given`: of the Trainer; `options`: of TrainingArguments. A run that resumes does so from the last checkpoint, whose
    step is `began`.
    """
    args = arguments(folder, **options)
    torch.manual_seed(1)
    model, watch = Net(), Stop(stop, how)
    if given is None:
        given = {"train_loader": loader_of(data, **(loader or {}))}
    made = trainer(model, args, callbacks=[watch, *callbacks], **given)
    began = 0
    if resume:
        last = get_last_checkpoint(str(folder))
        assert last is not None
        began = int(last.rpartition("-")[2])
    try:
        made.train(resume_from_checkpoint=resume or None)
    except InterruptedError:
        assert how == "error"
    weights = [p.tolist() for p in model.parameters()]
    return {
        "began": began,
        "seen": model.seen,
        "done_at": {str(step): done for step, done in watch.done_at.items()},
        "step": made.state.global_step,
        "weights": weights,
    }


def main(out: str, data: str, folder: str, *runs: str) -> None:
    results: list[Any] = []
    for run in runs:
        options = json.loads(run)
        name = options.pop("name")
        try:
            results.append(train(Path(data), Path(folder) / name, **options))
        except shardline.ShardlineError as error:
            results.append({"error": f"{type(error).__name__}: {error}"})
    rank = dist.get_rank() if dist.is_initialized() else 0
    Path(f"{out}.{rank}").write_text(json.dumps(results))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*sys.argv[1:])

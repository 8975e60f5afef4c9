"""Checkpoints of a whole training: durable, checked, and restored in one line. See docs/checkpoint.md.

What a user sees:

- `checkpointer`: `Checkpointer`.

What is saved:

- `parts`: models, optimizers, loaders and other objects with a state; `module_names`: their names without wrappers.
- `rng_state`: random generators; `loader_rng`: what torch's own loaders draw from them.
- `accumulation`: a check that no gradient accumulation is cut.
- `serialization`: states as plain containers and tensors; `dcp`: states that are sharded over ranks.

How it is written:

- `capture`: the states of one step; `save`: into files; `async_save`: in the background.
- `atomic_write`, `manifest`, `directory`: files that are complete or absent, what they should hold, and where they are.

How it is read:

- `discovery`: which checkpoint all ranks can restore; `restore`: into the parts.

When, and together:

- `schedule`: every so many steps, minutes or epochs; `signals`: on preemption.
- `coordinator`: agreement among ranks.
"""

from shardline.checkpoint.checkpointer import Checkpointer
from shardline.checkpoint.directory import SavedCheckpoint
from shardline.checkpoint.discovery import Restored

__all__ = ["Checkpointer", "Restored", "SavedCheckpoint"]

"""Checkpoints of a whole training: durable, checked, and restored in one line. See docs/checkpoint.md.

What a user sees:

- `checkpointer`: `Checkpointer`.

What is saved:

- `parts`: models, optimizers, loaders and other objects with a state; `module_names`: their names without wrappers.
- `rng_state`: random generators; `loader_rng`: what torch's own loaders draw from them.
- `accumulation`: a check that no gradient accumulation is cut.
- `serialization`: states as plain containers and tensors; `dcp`: states that are sharded over ranks.

How it is written:

- `capture`, `captured_state`: the states of one step; `save`: into files; `async_save`: in the background.
- `manifest`, `directory`: what the files should hold, and which checkpoints there are.

Where it stands (`backend`; `opening` tells which):

- `disk_backend`: on a disk; `atomic_write`: files that are complete or absent.
- `store_backend`: in an object store; `store_objects`: what lies there; `store_pending`: uploads; `store_read`:
  downloads; `store_writers`: who else saves there; `dcp_store`: sharded states.

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

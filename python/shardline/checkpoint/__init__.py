"""Checkpoints of a whole training: durable, checked, and restored in one line. See docs/checkpoint.md.

`checkpointer` is what a user sees. Under it: `parts` and `generators` (what is saved), `taking` and `saving`,
`restoring` and `loading`, `manifest`, `layout` and `durable` (how it lies on the disk), `talk` (what ranks say to each
other), `due` and `preemption` (when).
"""

from shardline.checkpoint.checkpointer import Checkpointer
from shardline.checkpoint.layout import SavedCheckpoint
from shardline.checkpoint.restoring import Restored

__all__ = ["Checkpointer", "Restored", "SavedCheckpoint"]

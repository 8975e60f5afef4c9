"""`transform` and `collate_fn`, run so that what is random in them depends on (seed, epoch, g) and on nothing else.

g is the job's number of the batch in the epoch. Python's, numpy's and torch's (CPU) global generators are seeded from
it before each batch and put back afterwards; they are all that is governed.
"""

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

from shardline.errors import ShardlineRuntimeError, ShardlineTypeError
from shardline.options.near import near

Function = Callable[[Any], Any]


class Functions(NamedTuple):
    """What is done to a batch before the caller gets it, in this order."""

    transform: Function | None
    collate_fn: Function | None

    def __call__(self, batch: Any) -> Any:
        """Both, where there are both."""
        try:
            for name, function in self._asdict().items():
                if function is not None:
                    given = batch
                    try:
                        batch = function(given)
                    except (TypeError, KeyError, IndexError, AttributeError) as error:
                        _explain(name, given, error)
                        raise
                    if batch is None:
                        raise ShardlineTypeError(
                            f"{name} ({function!r}) returned None: it must return the batch that is to be delivered. "
                            "To leave rows out, return a batch with fewer rows; to stop early, break the loop"
                        )
            return batch
        except StopIteration as error:  # it would end the caller's loop in silence
            raise ShardlineRuntimeError("transform or collate_fn raised StopIteration") from error

    @property
    def any(self) -> bool:
        """Whether there is anything to do."""
        return self.transform is not None or self.collate_fn is not None


def _explain(name: str, batch: Any, error: Exception) -> None:
    """Adds what a function written for another loader, or for other columns, stumbles over."""
    keys = list(batch) if isinstance(batch, Mapping) else []
    if isinstance(error, KeyError) and keys and error.args and error.args[0] not in keys:
        error.add_note(f"the batch has the keys {', '.join(map(repr, keys[:20]))}{near(error.args[0], keys)}")
    elif name == "collate_fn":
        error.add_note(
            f"collate_fn is given one whole batch, a {type(batch).__name__}, and never a list of samples as in torch: "
            "rows are collated already. Leave collate_fn out, or write it for a batch"
        )


def key_of(seed: int, epoch: int, number: int, purpose: str = "batch") -> bytes:
    """32 bytes, hashed from the parts: adding them would give seed 1, epoch 0 the randomness of seed 0, epoch 1.

    >>> key_of(1, 0, 7) == key_of(0, 1, 7)
    False
    """
    text = f"shardline {purpose} {seed} {epoch} {number}"
    return hashlib.blake2b(text.encode(), digest_size=32).digest()


def seed_generators(key: bytes) -> None:
    """Seeds the global generators of python, numpy and torch (CPU)."""
    random.seed(int.from_bytes(key, "little"))
    np.random.seed(np.frombuffer(key, "<u4"))
    torch.default_generator.manual_seed(int.from_bytes(key[:8], "little") >> 1)


@contextmanager
def seeded(key: bytes) -> Iterator[None]:
    """The generators seeded inside, and as they were outside."""
    kept = random.getstate(), np.random.get_state(legacy=False), torch.default_generator.get_state()
    try:
        seed_generators(key)
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])
        torch.default_generator.set_state(kept[2])


def apply(functions: Functions, batch: Any, key: bytes) -> Any:
    """The functions' result, in the caller's process; the caller's generators are not moved."""
    with seeded(key):
        return functions(batch)

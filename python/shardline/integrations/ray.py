"""Ray Train over a shardline loader: `prepare_data_loader`, as Ray's, but its state counts what the loop was given.

```python
from shardline.integrations.ray import prepare_data_loader


def train_loop(config):
    loader = prepare_data_loader(shardline.DataLoader("flights/", batch_size=256, shuffle=True))
    ...  # for batch in loader; and what is saved with the model is loader.state_dict()
```
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ray.train.torch import prepare_data_loader as ray_prepare

from shardline.errors import ShardlineTypeError
from shardline.loader import DataLoader


def prepare_data_loader(loader: DataLoader, *, auto_transfer: bool = True) -> "PreparedLoader":
    """A loader whose batches Ray moves to the worker's device, the next one while a step computes.

    Use it in place of `ray.train.torch.prepare_data_loader`, which takes a batch ahead: the loader's own `state_dict()`
    would count one batch a worker that the loop was not given.

    Args:
        loader: A `shardline.DataLoader`, made in the worker's function, where the process group exists.
        auto_transfer: As Ray's: whether a CUDA stream of its own copies the next batch.

    Raises:
        ShardlineTypeError: `loader` is none.
    """
    if not isinstance(loader, DataLoader):
        raise ShardlineTypeError(f"loader must be a shardline.DataLoader, not {loader!r}")
    prepared = ray_prepare(_Numbered(loader), add_dist_sampler=False, auto_transfer=auto_transfer)
    return PreparedLoader(loader, prepared)


class PreparedLoader:
    """Batches on the worker's device; `loader` is the one that was prepared."""

    def __init__(self, loader: DataLoader, prepared: Any) -> None:
        self.loader = loader
        self._prepared = prepared
        self._given: tuple[int, int] | None = None  # (step, epoch) after the last batch that the loop was given

    def __iter__(self) -> Iterator[Any]:
        for batch, step, epoch in self._prepared:
            self._given = step, epoch
            yield batch
        self._given = None

    def __len__(self) -> int:
        return len(self.loader)

    @property
    def epoch(self) -> int:
        """The epoch in hand; once its end was seen, the next."""
        return self.loader.epoch if self._given is None else self._given[1]

    @property
    def batch_index(self) -> int:
        """The index, in `epoch`, of this worker's next batch."""
        return self.loader.batch_index if self._given is None else self._given[0]

    def set_epoch(self, epoch: int) -> None:
        """As the loader's."""
        self.loader.set_epoch(epoch)
        if epoch != self.epoch:
            self._given = None

    def state_dict(self) -> dict[str, Any]:
        """The job's state as of the last batch that the loop was given. Any one worker's is that of all."""
        return self.loader.state_dict() if self._given is None else self.loader.state_at(*self._given)

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = False) -> None:
        """As the loader's; the number of workers may be another than that of the run that saved it."""
        self.loader.load_state_dict(state, strict)
        self._given = None


class _Numbered:
    """The loader's batches, each with the place after it, which goes through whatever looks ahead."""

    sampler = None

    def __init__(self, loader: DataLoader) -> None:
        self._loader = loader
        self.dataset = loader.dataset

    def __iter__(self) -> Iterator[tuple[Any, int, int]]:
        for batch in self._loader:
            yield batch, self._loader.batch_index, self._loader.epoch

    def __len__(self) -> int:
        return len(self._loader)

"""torch's own loaders draw from the global generator when `iter()` makes an iterator; a resumed run is to undo that.

A run that was stopped in mid-epoch had called `iter()` before: what the resumed run's first `iter()` draws is put back
after it. A run that was stopped between epochs calls it next, and draws once: there the restored generators are put in
place just before (a StatefulDataLoader whose epoch had ended makes two iterators, of which the second counts).
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch.utils.data import DataLoader as TorchLoader

from shardline.loader import DataLoader


def put_back_after_iter(loader: Any, state: Any, put_back: Callable[[], object]) -> None:
    """Arranges for it at the loader's next `iter()`, if it is one that draws. `state`: the one that it was given."""
    if not isinstance(loader, TorchLoader) or isinstance(loader, DataLoader):
        return
    loader.__dict__.pop("_get_iterator", None)  # of an earlier restore
    original, opened = loader._get_iterator, _in_mid_epoch(state)

    def once() -> Any:
        if not opened:
            put_back()
        iterator = original()
        if opened:
            put_back()
        if not getattr(iterator, "_finished", False):
            del loader.__dict__["_get_iterator"]
        return iterator

    loader.__dict__["_get_iterator"] = once


def _in_mid_epoch(state: Any) -> bool:
    if not isinstance(state, Mapping):
        return True
    if "shardline" in state:
        return not state["ended"] and any(leg[3] for leg in state["legs"])
    return not state.get("_iterator_finished", False)

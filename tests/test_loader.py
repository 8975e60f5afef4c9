"""`DataLoader` as torch's users know it: collate_fn, pickling, metrics, the bar, the plain one around the dataset."""

import gc
import io
import pickle
import weakref

import pytest
import torch
from support import ids, take

from shardline import StructuredDataset


def test_a_batch_that_collate_refuses_is_not_delivered_and_comes_again(make, epochs):
    failures = iter([False, True])

    def collate(batch):
        if next(failures, False):
            raise ValueError("no")
        return batch["i"].tolist()

    loader = make(collate_fn=collate)
    iterator = iter(loader)
    assert next(iterator) == epochs[0][0]
    with pytest.raises(ValueError, match="no"):
        next(iterator)
    assert loader.batch_index == 1
    assert list(iterator) == epochs[0][1:]


def test_plain_torch_loader_takes_the_dataset_state_included(hundred, epochs):
    dataset = StructuredDataset(hundred, batch_size=10, shuffle=True)
    loader = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=0)
    assert len(loader) == 10
    assert take(iter(loader), 4) == epochs[0][:4]
    again = StructuredDataset(hundred, batch_size=10, shuffle=True)
    again.load_state_dict(dataset.state_dict())
    assert ids(torch.utils.data.DataLoader(again, batch_size=None)) == epochs[0][4:]


def test_pickled_dataset_stands_where_it_stood(make, epochs):
    loader = make()
    take(iter(loader), 3)
    copy = pickle.loads(pickle.dumps(loader.dataset))
    assert copy.state_dict() == loader.state_dict()
    assert repr(copy) == repr(loader.dataset)
    assert ids(copy) == epochs[0][3:]
    assert ids(copy) == epochs[1]
    assert loader.batch_index == 3


def test_collected_iterators_close_their_readers(make, monkeypatch):
    import shardline.iteration.iterator as module

    closed = []
    plain = module._close
    monkeypatch.setattr(module, "_close", lambda *args: (closed.append(1), plain(*args)))
    loader = make()
    iterator = iter(loader)
    next(iterator)
    gone = weakref.ref(iterator)
    del iterator
    gc.collect()
    assert gone() is None
    assert closed == [1]
    ids(loader)
    assert closed == [1, 1]


def test_loader_is_torchs_and_says_what_was_asked(make):
    loader = make(drop_last=True)
    assert isinstance(loader, torch.utils.data.DataLoader)
    assert isinstance(loader.dataset, torch.utils.data.IterableDataset)
    assert (loader.batch_size, loader.drop_last, loader.num_workers) == (10, True, 0)
    for word in ("100 rows", "batch_size=10", "seed 42", "uniformly", "epoch 0, batch 0 of 10"):
        assert word in repr(loader)


def test_create_dataloader_returns_both(hundred):
    loader, dataset = StructuredDataset.create_dataloader(path=hundred, batch_size=10, shuffle=True, shuffle_seed=3)
    assert loader.dataset is dataset
    assert loader.state_dict() == dataset.state_dict()
    assert dataset.num_rows == 100
    assert dataset.schema.names == ["i", "x"]


def test_progress_bar_on_rank_0_only(make, capsys):
    ids(make(show_progress=True))
    assert "10/10" in capsys.readouterr().err
    ids(make(show_progress=True, rank=1, num_ranks=2))
    assert capsys.readouterr().err == ""


def test_metrics_are_numbers_and_outlive_the_reader(make):
    loader = make()
    assert loader.get_metrics() == {}
    iterator = iter(loader)
    next(iterator)
    assert loader.get_metrics()
    ids(iterator)
    metrics = loader.get_metrics()
    assert metrics
    assert all(isinstance(value, (int, float)) for value in metrics.values())


def test_state_survives_torch_save_in_mid_epoch(make, epochs):
    loader = make()
    take(iter(loader), 5)
    file = io.BytesIO()
    torch.save({"data": loader.state_dict()}, file)
    file.seek(0)
    resumed = make()
    resumed.load_state_dict(torch.load(file, weights_only=True)["data"])
    assert ids(resumed) == epochs[0][5:]

"""Arguments and results that would do nothing, or not what they say: each is an error."""

import pytest
import torch
from support import context, ids, take
from support import functions as f

import shardline
from shardline import DataLoader, StructuredDataset
from shardline.arguments import NEEDS, DatasetArguments
from shardline.signature import declared


def test_no_batch_size(hundred):
    with pytest.raises(shardline.ShardlineTypeError, match="batch_size=None: batches come ready from shardline.*Give"):
        DataLoader(hundred, batch_size=None)
    with pytest.raises(shardline.ShardlineTypeError, match="batch_size"):
        DataLoader(hundred, None)
    assert DataLoader(hundred).batch_size == 1024
    with pytest.raises(shardline.ShardlineTypeError, match="batch_size must be an integer"):
        StructuredDataset(hundred, batch_size=None)
    # torch's way to say that a dataset makes its batches itself
    assert ids(DataLoader(StructuredDataset(hundred, batch_size=50), batch_size=None))[1][0] == 50


def test_a_generator(hundred):
    with pytest.raises(shardline.ShardlineValueError, match="generator= is not taken.*shuffle_seed="):
        DataLoader(hundred, generator=torch.Generator())
    DataLoader(hundred, generator=None)


GIVEN = {"shuffle_buffer_size": 5, "shuffle_buffer_bytes": 5, "shuffle_strands": 2, "sample_seed": 3, "subset_by": "i"}


def test_what_is_needed_is_declared():
    known = declared(DatasetArguments)
    assert set(NEEDS) == set(GIVEN)
    assert {one for others in NEEDS.values() for one in others} <= set(known)


@pytest.mark.parametrize(("name", "value"), GIVEN.items())
@pytest.mark.parametrize("make", [DataLoader, StructuredDataset])
def test_an_argument_that_does_nothing_alone(hundred, make, name, value):
    with pytest.raises(shardline.ShardlineValueError, match=f"{name}={value!r} does nothing without {NEEDS[name][0]}="):
        make(hundred, **{name: value})
    make(hundred, **{name: declared(DatasetArguments)[name][1].default})
    needed = [{"shuffle": True}, {"shuffle": False}] if "shuffle" in name else [{"sample": 0.5}, {"subset": (0, 0.5)}]
    for one in needed:
        make(hundred, **{name: value}, **one)  # switched off outright: nobody takes it for on


@pytest.mark.parametrize("filters", [{"a": 1}, {}, "i > 3", b"i", 3, True], ids=str)
def test_filters_of_another_type(hundred, filters):
    with pytest.raises(shardline.ShardlineTypeError, match=r"filters=.* is not understood.*\(column, op, value\)"):
        DataLoader(hundred, filters=filters)


class Nothing:
    """Returns None where a row is in the batch."""

    def __init__(self, row: int) -> None:
        self.row = row

    def __call__(self, batch):
        return None if self.row in batch["i"].tolist() else batch

    def __repr__(self) -> str:
        return "Nothing()"


@pytest.mark.parametrize("method", [None, "fork", "forkserver"])
@pytest.mark.parametrize("name", ["transform", "collate_fn"])
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_a_function_that_returns_nothing(hundred, name, method):
    how = {} if method is None else {"num_workers": 1, "multiprocessing_context": context(method)}
    other = {"collate_fn" if name == "transform" else "transform": f.identity}
    loader = DataLoader(hundred, batch_size=10, **{name: Nothing(25)}, **other, **how)
    iterator = iter(loader)
    assert [batch[-1] for batch in take(iterator, 2)] == [9, 19]
    words = rf"{name} \(Nothing\(\)\) returned None: it must return"
    for _ in range(2):
        with pytest.raises(shardline.ShardlineTypeError, match=words):
            next(iterator)
    assert loader.batch_index == 2
    assert loader.state_dict() == DataLoader(hundred, batch_size=10).state_at(2)


def test_a_function_that_returns_nothing_in_torchs_workers(hundred):
    dataset = StructuredDataset(hundred, batch_size=10, transform=Nothing(25))
    loader = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context="fork")
    with pytest.raises(TypeError, match="returned None"):
        list(loader)

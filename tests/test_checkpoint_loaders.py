"""Loaders that are not shardline's: torchdata's, and torch's own."""

import pytest
import torch
from support.small import make

import shardline
from shardline import Checkpointer


def stateful(**options):
    from torchdata.stateful_dataloader import StatefulDataLoader

    return StatefulDataLoader(list(range(20)), batch_size=2, **options)


@pytest.mark.filterwarnings("ignore:.set_vital:UserWarning")
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("stop", range(1, 21))
def test_torchdata_goes_on_bit_for_bit(tmp_path, shuffle, stop):
    """Batches and the global generator, stopped after any batch of two epochs; also where an epoch's end was seen."""
    torch.manual_seed(5)
    loader, ran, epoch = stateful(shuffle=shuffle), [], 0
    ck = Checkpointer(tmp_path, data=loader)

    def steps(epochs):
        for one in range(*epochs):
            for batch in loader:
                ran.append((one, batch.tolist(), torch.rand(1).item()))
                yield one

    for epoch in steps((0, 3)):
        if len(ran) == stop:
            ck.save(stop, epoch=epoch)
    expected, whole = ran[stop:], stop % 10 == 0

    torch.manual_seed(77)
    loader, ran = stateful(shuffle=shuffle), []
    restored = Checkpointer(tmp_path, data=loader).restore()
    for _ in steps((restored.epoch, 3)):
        pass
    assert restored.epoch == (stop - 1) // 10
    assert ran == expected, whole


@pytest.mark.filterwarnings("ignore:.set_vital:UserWarning")
@pytest.mark.parametrize("shuffle", [False, True])
def test_torchdata_between_epochs(tmp_path, shuffle):
    torch.manual_seed(5)
    loader = stateful(shuffle=shuffle)
    ck = Checkpointer(tmp_path, data=loader)
    for _ in range(2):
        for _ in loader:
            torch.rand(1)
    ck.save(20, epoch=2)
    expected = [(batch.tolist(), torch.rand(1).item()) for batch in loader]
    torch.manual_seed(77)
    loader = stateful(shuffle=shuffle)
    Checkpointer(tmp_path, data=loader).restore()
    assert [(batch.tolist(), torch.rand(1).item()) for batch in loader] == expected


@pytest.mark.parametrize("stop", [1, 4, 9, 10, 13])
@pytest.mark.parametrize("seen", [False, True])
def test_torchs_own_loader_around_our_dataset(hundred, tmp_path, stop, seen):
    """It draws from the global generator at iter()."""

    def make_loader():
        return torch.utils.data.DataLoader(shardline.StructuredDataset(hundred, batch_size=10), batch_size=None)

    torch.manual_seed(5)
    loader, ran = make_loader(), []
    ck = Checkpointer(tmp_path, data=loader)
    for _ in range(2):
        for batch in loader:
            ran.append((batch["i"].tolist(), torch.rand(1).item()))
            if len(ran) == stop and not (seen and stop == 10):
                ck.save(stop)
        if len(ran) == stop:
            ck.save(stop)
    torch.manual_seed(77)
    loader, again = make_loader(), []
    restored = Checkpointer(tmp_path, data=loader).restore()
    for _ in range(restored.epoch, 2):
        again += [(batch["i"].tolist(), torch.rand(1).item()) for batch in loader]
    assert again == ran[stop:]


def test_without_data_the_generators_are_put_back_at_once(tmp_path):
    _, _, ck = make(tmp_path)
    ck.save(1)
    expected = torch.rand(3)
    torch.rand(10)
    ck.restore()
    assert torch.equal(torch.rand(3), expected)

"""What the tests of Lightning and Accelerate share: the data, a loss that every batch moves, and when to stop."""

from pathlib import Path

import torch
from support import ids, write_rows

from shardline import DataLoader

EPOCHS, ROWS, BATCH = 3, 800, 40
STEPS = ROWS // BATCH  # of one rank
GROUPS = [[100, 60, 40], [200, 100], [150, 50, 100]]


def write(folder: Path) -> Path:
    """800 rows in 3 files."""
    return write_rows(folder, GROUPS)


def loader(data: Path, **options) -> DataLoader:
    return DataLoader(data, **{"batch_size": BATCH, "shuffle": True, **options})


def epochs(data: Path, count: int = EPOCHS, **options) -> list[list[list[int]]]:
    """What a loop without a framework and without a stop takes; each epoch has every row once, in its own order."""
    plain = loader(data, **options)
    found = [ids(plain) for _ in range(count)]
    if options.get("num_ranks", 1) == 1:
        assert all(sorted(sum(epoch, [])) == list(range(ROWS)) for epoch in found)
    assert found[0] != found[1] != found[2]
    return found


def model() -> torch.nn.Linear:
    torch.manual_seed(0)
    return torch.nn.Linear(1, 1)


def loss_of(layer, batch) -> torch.Tensor:
    """Of rows with x = i / 2: another order of the batches gives other weights."""
    x = batch["x"][:, None] / 400
    return torch.nn.functional.mse_loss(layer(x), 2 * x + 1)


def same(weights, others) -> bool:
    """Bit for bit."""
    return all(torch.equal(mine, theirs) for mine, theirs in zip(weights, others, strict=True))

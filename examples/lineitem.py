"""TPC-H's lineitem as it comes from its generator: decimals, dates and strings, straight into training.

    tpchgen-cli parquet --scale-factor 0.1 --tables lineitem --output-dir tpch
    python examples/lineitem.py tpch/lineitem.parquet

The model says whether a line was returned. Nothing is prepared: what each column becomes is said to the loader.
"""

import argparse
from typing import Any

import torch

import shardline
from shardline import ColumnOptions

NUMBERS = ["l_quantity", "l_extendedprice", "l_discount", "l_tax"]  # decimals
DATES = ["l_shipdate", "l_commitdate", "l_receiptdate"]  # days since 1970
MODES = ["<unk>", "AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"]


def loader_of(path: str, batch_size: int = 1024) -> shardline.DataLoader:
    """Two matrices, ids, and the label; the other columns are not read."""
    return shardline.DataLoader(
        path,
        batch_size=batch_size,
        shuffle=True,
        columns=["l_shipmode", "l_shipinstruct", "l_returnflag"],
        matrices={"numbers": NUMBERS, "dates": DATES},
        column_options={
            "numbers": ColumnOptions(dtype=torch.float32),
            "dates": ColumnOptions(dtype=torch.float32),
            "l_shipmode": ColumnOptions(encode="codes", vocabulary=MODES, unknown=0),
            "l_shipinstruct": ColumnOptions(encode="hash", buckets=64),
            "l_returnflag": ColumnOptions(encode="codes", vocabulary=["A", "N", "R"], dtype="int64"),
        },
    )


class Model(torch.nn.Module):
    """Embeddings of the ids, and two layers."""

    def __init__(self, schema: shardline.Schema) -> None:
        super().__init__()
        self.modes = torch.nn.Embedding(schema["l_shipmode"].num_ids or 1, 4)
        self.instructions = torch.nn.Embedding(schema["l_shipinstruct"].num_ids or 1, 4)
        self.layers = torch.nn.Sequential(torch.nn.Linear(len(NUMBERS) + len(DATES) + 8, 32), torch.nn.ReLU())
        self.last = torch.nn.Linear(32, 3)

    def forward(self, batch: dict[str, Any]) -> torch.Tensor:
        """The odds of each flag, from a batch as it comes."""
        numbers = batch["numbers"] / torch.tensor([50.0, 100_000.0, 0.1, 0.1])
        dates = (batch["dates"] - 9_000) / 1_000
        ids = self.modes(batch["l_shipmode"]), self.instructions(batch["l_shipinstruct"])
        odds: torch.Tensor = self.last(self.layers(torch.cat([numbers, dates, *ids], dim=1)))
        return odds


def main() -> None:
    """Trains for an epoch, and prints the loss as it falls."""
    parser = argparse.ArgumentParser(description="train on TPC-H's lineitem")
    parser.add_argument("path")
    parser.add_argument("--batch-size", type=int, default=1024)
    options = parser.parse_args()
    torch.manual_seed(0)
    loader = loader_of(options.path, options.batch_size)
    model = Model(loader.dataset.schema)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    losses = []
    for batch in loader:
        loss = torch.nn.functional.cross_entropy(model(batch), batch["l_returnflag"])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    tenth = max(1, len(losses) // 10)
    first, last = (sum(some) / tenth for some in (losses[:tenth], losses[-tenth:]))
    print(f"{len(losses)} steps: loss {first:.3f} at first, {last:.3f} at last")


if __name__ == "__main__":
    main()

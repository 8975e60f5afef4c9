"""Training on Parquet in an object store, killed in mid-epoch and resumed.

    python examples/s3.py s3://BUCKET/PREFIX CHECKPOINT [--endpoint URL] [--anonymous] [--kill-at STEP]

Keys come from the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), or from the machine. Run it again after it
was killed: it goes on where it was saved. The data has a column `x` (numbers) and a column `i` (integers); the model
learns to say the one from the other, which is of no use but to show that nothing is lost.
"""

import argparse
import os
import signal
from pathlib import Path
from typing import Any

import torch

import shardline


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="s3://, gs://, az:// or https://")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--endpoint", help="of a store that is not Amazon's")
    parser.add_argument("--anonymous", action="store_true", help="ask without keys")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--kill-at", type=int, help="a step after which this process is killed")
    options = parser.parse_args()

    storage: dict[str, Any] = {"retry": {"max_retries": 10}, "timeout": 30}
    if options.endpoint:
        storage["endpoint_url"] = options.endpoint
    if options.anonymous:
        storage["anon"] = True
    loader = shardline.DataLoader(
        options.data, batch_size=options.batch_size, shuffle=True, columns=["i", "x"], storage_options=storage
    )

    torch.manual_seed(0)
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    step = first = 0
    if options.checkpoint.exists():
        saved = torch.load(options.checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        loader.load_state_dict(saved["loader"])
        step, first = saved["step"], saved["epoch"]

    for epoch in range(first, options.epochs):
        for batch in loader:
            x = batch["x"].float().unsqueeze(1) / 1000
            y = batch["i"].float().unsqueeze(1) / 1000
            loss = torch.nn.functional.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            print(f"epoch {epoch} step {step} loss {loss.item():.9f} rows {batch['i'].tolist()}", flush=True)
            checkpoint = {"model": model.state_dict(), "loader": loader.state_dict(), "step": step, "epoch": epoch}
            torch.save(checkpoint, options.checkpoint.with_suffix(".new"))
            options.checkpoint.with_suffix(".new").replace(options.checkpoint)
            if step == options.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()

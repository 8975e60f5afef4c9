"""docs/how-to/pack.md: its code runs, and what it shows is true."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

PAGE = Path(__file__).parent.parent / "docs/how-to/pack.md"


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    (tmp_path / "tokens").mkdir()
    for number in range(2):
        lists = [rng.integers(1, 1000, n) for n in rng.integers(0, 400, 60)]
        table = pa.table({"input_ids": pa.array(lists, pa.list_(pa.int32()))})
        pq.write_table(table, tmp_path / f"tokens/{number}.parquet", row_group_size=25)
    (tmp_path / "chats").mkdir()
    lists = [rng.integers(1, 1000, n) for n in rng.integers(10, 100, 60)]
    chats = {
        "input_ids": pa.array(lists, pa.list_(pa.int32())),
        "prompt_tokens": [int(n) // 3 for n in map(len, lists)],
        "loss_mask": pa.array([np.arange(len(each)) % 3 > 0 for each in lists], pa.list_(pa.bool_())),
        "source": pa.array(range(1, 61), pa.int16()),
    }
    pq.write_table(pa.table(chats), tmp_path / "chats/0.parquet")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(code, str(PAGE), "exec"), names)
    assert torch.allclose(names["loss"], torch.tensor(1000.0).log())
    mask, batch = names["mask"], names["batch"]
    assert torch.equal(mask.sum(2) - 1, torch.where(batch["segment_ids"] > 0, batch["position_ids"], mask.sum(2) - 1))
    assert set(names["truncated"].dataset.plan.tokens[0].split('"')) >= {"long", "truncate"}
    assert 0.4 < names["answers"].float().mean() < 0.8
    masked, sources = names["masked"], names["source_of_place"]
    assert torch.equal(sources > 0, masked["segment_ids"] > 0)
    assert 0.5 < (masked["labels"] != -100).float().mean() < 0.7
    assert not (masked["labels"][:, :-1] != -100)[~masked["loss_mask"][:, 1:]].any()
    padded, real = (names[name].diff() for name in ("cu_seqlens_q_padded", "cu_seqlens_q"))
    assert (padded % 8 == 0).all()
    assert ((padded - real < 8) | (real == 0)).all()
    assert names["block_mask"].shape[-2:] == (128, 128)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3
    assert all(re.fullmatch(r"tokens \d+ to \d+ of row .*parquet", line) for line in printed)

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
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(code, str(PAGE), "exec"), names)
    assert torch.allclose(names["loss"], torch.tensor(1000.0).log())
    mask, batch = names["mask"], names["batch"]
    assert torch.equal(mask.sum(2) - 1, torch.where(batch["segment_ids"] > 0, batch["position_ids"], mask.sum(2) - 1))
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3
    assert all(re.fullmatch(r"tokens \d+ to \d+ of row .*parquet", line) for line in printed)

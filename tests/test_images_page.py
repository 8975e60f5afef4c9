"""docs/how-to/images.md: its code runs, and what it shows is true."""

import io
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

PAGE = Path(__file__).parent.parent / "docs/how-to/images.md"


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    rng, files = np.random.default_rng(0), []
    for _ in range(40):
        out = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (80, 100, 3), np.uint8)).save(out, "JPEG")
        files.append(out.getvalue())
    for name, images in (("photos", files), ("broken", [*files[:5], files[5][:3000], *files[6:]])):
        (tmp_path / name).mkdir()
        table = pa.table({"image": images, "label": rng.integers(0, 9, 40), "id": np.arange(40)})
        pq.write_table(table, tmp_path / name / "0.parquet", row_group_size=4)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(code, str(PAGE), "exec"), names)
    assert names["images"].shape[1:] == (3, 64, 64)
    assert names["batch"]["image"].min() < 0
    [shown] = re.findall(r"```text\n(.*)\n```", PAGE.read_text())
    number = re.compile(r"\d+ bytes")
    assert number.sub("", capsys.readouterr().out.strip()) == number.sub("", shown)

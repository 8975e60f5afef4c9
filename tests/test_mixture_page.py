"""docs/how-to/mixture.md: its code runs, and prints what the page shows."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

PAGE = Path(__file__).parent.parent / "docs/how-to/mixture.md"


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    for name, rows in (("web", 1000), ("code", 500), ("math", 50)):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table({"x": range(rows)}), tmp_path / name / "0.parquet", row_group_size=100)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    text = PAGE.read_text()
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(code, str(PAGE), "exec"), names)
    shown = "".join(re.findall(r"```text\n(.*?)```", text, re.DOTALL))
    assert capsys.readouterr().out == shown

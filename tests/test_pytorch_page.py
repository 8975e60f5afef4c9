"""The loops of docs/frameworks/pytorch.md run as they stand there, are killed, and come to the same weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support import dcp_ranks
from support.flights import write_flights
from support.job import DIED, job
from support.page_loop import loops


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two with the same flights, to be stopped in the second."""
    both = [tmp_path / "whole", tmp_path / "killed"]
    for folder in both:
        write_flights(folder / "flights", rows=1_500)
    return both


def test_dcp_and_fsdp2_on_2_ranks(folders):
    [loop] = [block for block in loops("pytorch.md") if "dcp.save" in block]
    group = "dist.init_process_group()\n"
    assert group in loop
    loop = loop.replace(group, "")  # the ranks of these tests have it already
    save = "        if loader.batch_index % 5 == 0:\n"
    assert save in loop
    first = loop.replace(save, "        if epoch == 1 and dist.get_rank() == 1:\n            os._exit(9)\n" + save)
    assert job(2, dcp_ranks.run_page, folders[0], loop) == [2, 2]
    assert job(2, dcp_ranks.run_page, folders[1], "import os\n" + first) == [DIED] * 2
    assert not (folders[1] / "end.pt").exists()
    assert (folders[1] / "run" / "5" / ".metadata").exists()
    assert job(2, dcp_ranks.run_page, folders[1], loop) == [2, 2]
    one, other = (torch.load(folder / "end.pt", weights_only=True) for folder in folders)
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_compile_amp_and_ema(folders, monkeypatch):
    [loop] = [block for block in loops("pytorch.md") if "AveragedModel" in block]
    loop = loop.replace("torch.compile(net)", 'torch.compile(net, backend="eager")')  # no compiler is needed
    save = "        ck.step(step)\n"
    assert save in loop
    stopped = loop.replace(save, "        if step == 17:\n            raise InterruptedError\n" + save)
    ends = []
    for folder in folders:
        monkeypatch.chdir(folder)
        if folder == folders[1]:
            with pytest.raises(InterruptedError):
                exec(compile(stopped, "pytorch.md", "exec"), {})
        names: dict[str, Any] = {}
        exec(compile(loop, "pytorch.md", "exec"), names)
        assert names["step"] == 3 * 12
        ends.append({**names["net"].state_dict(), **{f"ema {k}": v for k, v in names["ema"].state_dict().items()}})
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())

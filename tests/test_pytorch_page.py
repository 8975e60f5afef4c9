"""The loops of docs/frameworks/pytorch.md run as they stand there, are killed, and come to the same weights."""

from pathlib import Path

import pytest
import torch
from support import dcp_ranks, programs
from support.flights import write_flights
from support.job import DIED, job
from support.page_loop import loops

KILL = """
    if {when}:
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two with the same flights, to be stopped in the second."""
    both = [tmp_path / "whole", tmp_path / "killed"]
    for folder in both:
        write_flights(folder / "flights", rows=1_500)
    return both


def killed(loop: str, line: str, when: str) -> str:
    """`loop` with an end before `line`."""
    assert loop.count(line) == 1
    indent = line[: len(line) - len(line.lstrip())]
    end = "".join(f"{indent}{each[4:]}\n" for each in KILL.format(when=when).splitlines()[1:])
    return loop.replace(line, end + line)


def same_ends(folders: list[Path]) -> bool:
    one, other = (torch.load(folder / "end.pt", weights_only=True) for folder in folders)
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_dcp_and_fsdp2_on_2_ranks(folders):
    [loop] = [block for block in loops("pytorch.md") if "dcp.save" in block]
    group = "dist.init_process_group()\n"
    assert group in loop
    loop = loop.replace(group, "")  # the ranks of these tests have it already
    first = killed(loop, "        if loader.batch_index % 5 == 0:\n", "dist.get_rank() == 1 and epoch == 1")
    assert job(2, dcp_ranks.run_page, folders[0], loop) == [2, 2]
    assert job(2, dcp_ranks.run_page, folders[1], first) == [DIED] * 2
    assert not (folders[1] / "end.pt").exists()
    assert (folders[1] / "run" / "5" / ".metadata").exists()
    assert job(2, dcp_ranks.run_page, folders[1], loop) == [2, 2]
    assert same_ends(folders)


def test_compile_amp_and_ema(folders):
    [loop] = [block for block in loops("pytorch.md") if "AveragedModel" in block]
    loop = loop.replace("torch.compile(net)", 'torch.compile(net, backend="eager")')  # no compiler is needed
    first = killed(loop, "        ck.step(step)\n", "step == 17")
    loop += 'torch.save({**net.state_dict(), **{f"ema {k}": v for k, v in ema.state_dict().items()}}, "end.pt")\n'
    for folder, program, status in ((folders[0], loop, 0), (folders[1], first, -9), (folders[1], loop, 0)):
        script = folder / f"{status}.py"
        script.write_text(program)
        done = programs.run(script, cwd=folder)
        assert done.returncode == status, done.stderr
    assert same_ends(folders)

"""Stopped at any moment, a rewrite leaves nothing under OUT's name, and goes on to what it would have written."""

import json
import os
import random
import signal
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import programs

import shardline

PROGRAM = """
import json, os, resource, sys, time
source, out, options, limit, hold = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
import shardline

def say(progress):
    print(*progress, flush=True)
    while hold and not os.path.exists(hold):
        time.sleep(0.005)

if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
print("ready", flush=True)
report = shardline.rewrite(source, out, memory="200kB", row_group_bytes="10kB", file_bytes="30kB",
                           progress=say, **options)
print("resumed" if report.resumed else "anew", report.digest, flush=True)
"""
ORDERS = [{}, {"shuffle": True}, {"sort_by": "text", "partition_by": "few"}]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """4,000 rows of about 40 bytes in two files."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for number in range(2):
        few = pa.array([["a", "b", None][i] for i in rng.integers(0, 3, 2_000)])
        text = pa.array([f"text {i}" for i in rng.integers(0, 500, 2_000)])
        numbers = np.arange(number * 2_000, number * 2_000 + 2_000)
        table = pa.table({"few": few, "text": text, "i": numbers, "x": rng.standard_normal(2_000)})
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=300)
    return folder


def start(data, out, options, limit=0, hold=""):
    """`limit`: of a file's bytes. `hold`: a file that a run waits for once it has begun."""
    return programs.start("-c", PROGRAM, data, out, json.dumps(options), limit, hold)


def content(folder: Path):
    """Every file's bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def lines(data, out, options):
    """What an uninterrupted run says."""
    said, errors = start(data, out, options).communicate()
    assert "anew" in said, errors
    return said.splitlines()


def stop(data, out, options, after, number):
    """Ends a run when it has said so many lines; whether it came to its end before."""
    with start(data, out, options) as program:
        for _ in range(after):
            if not program.stdout.readline():
                break
        with suppress(ProcessLookupError):  # it came to its end
            program.send_signal(number)
        rest, errors = program.communicate()
    if program.returncode == 0:
        return True
    assert program.returncode in (-number, 128 + number, 1), (rest, errors)
    return False


def check_kills(data, folder, options, kills, seed):
    """Killed so often, each time with what is left of it, the folder equals that of a run that never was."""
    chance = random.Random(seed)
    whole = lines(data, folder / "whole", options)
    run = 0
    while kills > 0:
        out = folder / f"run-{run}"
        for _ in range(chance.randint(1, 3)):
            kills -= not stop(data, out, options, chance.randint(1, len(whole) - 1), signal.SIGKILL)
            if out.exists():
                break
        if not out.exists():
            said, errors = start(data, out, options).communicate()
            assert whole[-1].split()[1] in said, errors
        assert content(out) == content(folder / "whole")
        assert not (folder / f".run-{run}.unfinished" / "out").exists()
        run += 1


@pytest.mark.parametrize("options", ORDERS, ids=str)
def test_killed_at_random_moments(data, tmp_path, options):
    check_kills(data, tmp_path, options, 2, 1)


@pytest.mark.long
@pytest.mark.parametrize("options", ORDERS, ids=str)
def test_killed_at_random_moments_50_times(data, tmp_path, options):
    check_kills(data, tmp_path, options, 50, 2)


def test_it_goes_on_from_what_is_done(data, tmp_path):
    """No row of a piece that is done is read again."""
    out = tmp_path / "out"
    whole = lines(data, tmp_path / "whole", {})
    assert not stop(data, out, {}, len(whole) - 2, signal.SIGKILL)
    done = (tmp_path / ".out.unfinished" / "journal").read_text().count("\n") - 1
    assert done >= 1  # how many, depends on how its threads ran
    said, errors = start(data, out, {}).communicate()
    assert said.splitlines()[-1].startswith("resumed"), errors
    first = int(said.splitlines()[1].split()[1])
    assert first >= 4_000 * (done - 1) // len(list((tmp_path / "whole").iterdir()))
    assert len(said.splitlines()) < len(whole)


def test_an_interrupt_leaves_nothing_under_the_name(data, tmp_path):
    out = tmp_path / "out"
    assert not stop(data, out, {"shuffle": True}, 5, signal.SIGINT)
    assert [path.name for path in tmp_path.iterdir()] == [".out.unfinished"]
    assert lines_after(data, out, {"shuffle": True}).startswith("resumed")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def lines_after(data, out, options):
    said, errors = start(data, out, options).communicate()
    assert said.strip(), errors
    return said.splitlines()[-1]


@pytest.mark.parametrize("options", [{}, {"shuffle": True}], ids=str)
def test_a_full_disk_names_the_path(data, tmp_path, options):
    """A limit on a file's size stands for it: the same error from the same calls."""
    out = tmp_path / "out"
    said, errors = start(data, out, options, 6_000).communicate()
    assert "ShardlineOSError" in errors.splitlines()[-1]
    assert str(tmp_path / ".out.unfinished") in errors.splitlines()[-1]
    assert "goes on where it stopped" in errors.splitlines()[-1]
    assert not out.exists()
    assert "digest" not in said
    lines_after(data, out, options)
    assert out.exists()


class Stop(Exception):
    pass


def halfway(progress):
    if progress.stage == "write" and progress.rows > 2_500:
        raise Stop


SIZES = {"memory": "200kB", "row_group_bytes": "10kB", "file_bytes": "30kB", "num_threads": 1}


def test_what_stands_under_the_name_stays_until_all_is_written(data, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("kept")
    with pytest.raises(
        shardline.ShardlineValueError, match=r"out exists; give overwrite=True \(--overwrite\) to replace it"
    ):
        shardline.rewrite(data, out, **SIZES)
    with pytest.raises(Stop):
        shardline.rewrite(data, out, overwrite=True, progress=halfway, **SIZES)
    assert (out / "mine").read_text() == "kept"
    report = shardline.rewrite(data, out, overwrite=True, **SIZES)
    assert report.resumed
    assert not (out / "mine").exists()
    assert pq.read_table(out)["i"].to_pylist() == list(range(4_000))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_crash_between_the_two_renames_is_put_right(data, tmp_path):
    out = tmp_path / "out"
    shardline.rewrite(data, out, **SIZES)
    before = content(out)
    out.rename(tmp_path / ".out.replaced")
    with pytest.raises(shardline.ShardlineValueError, match="exists"):
        shardline.rewrite(data, out, **SIZES)
    assert content(out) == before


@pytest.mark.parametrize("changed", ["arguments", "input"])
def test_other_arguments_or_input_begin_anew(data, tmp_path, changed, caplog):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for path in data.iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    with pytest.raises(Stop):
        shardline.rewrite(source, out, progress=halfway, **SIZES)
    options = {"codec": "zstd"} if changed == "arguments" else {}
    if changed == "input":
        pq.write_table(pq.read_table(source / "1.parquet").slice(0, 1_000), source / "1.parquet")
    report = shardline.rewrite(source, out, **options, **SIZES)
    assert not report.resumed
    assert f"{out}: begins anew" in caplog.text
    assert report.rows == (4_000 if changed == "arguments" else 3_000)


def test_a_piece_that_was_damaged_meanwhile_is_made_again(data, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(Stop):
        shardline.rewrite(data, out, progress=halfway, **SIZES)
    first = tmp_path / ".out.unfinished" / "out" / "part-00000.parquet"
    first.write_bytes(first.read_bytes()[:-10])
    journal = tmp_path / ".out.unfinished" / "journal"
    journal.write_text(journal.read_text() + '["file 3", {"dig')  # a line that was cut short
    assert shardline.rewrite(data, out, **SIZES).resumed
    assert pq.read_table(out)["i"].to_pylist() == list(range(4_000))


def test_two_processes_do_not_write_the_same(data, tmp_path):
    out = tmp_path / "out"
    with start(data, out, {}, hold=tmp_path / "go on") as program:
        program.stdout.readline(), program.stdout.readline()
        with pytest.raises(shardline.ShardlineRuntimeError, match=f"another process is writing {out} now"):
            shardline.rewrite(data, out, **SIZES)
        (tmp_path / "go on").touch()
        said, errors = program.communicate()
    assert "anew" in said, errors


@pytest.mark.parametrize("fault", ["a row less", "a row twice", "another value"])
@pytest.mark.parametrize("options", [{}, {"shuffle": True}], ids=str)
def test_what_is_written_wrong_does_not_get_the_name(data, tmp_path, fault, options, monkeypatch):
    write = pq.ParquetWriter.write_table

    def wrong(self, table, **more):
        if fault == "a row less":
            table = table.slice(1)
        elif fault == "a row twice":
            table = pa.concat_tables([table, table.slice(0, 1)])
        elif len(table) and "i" in table.schema.names:
            values = table["i"].to_numpy().copy()
            values[-1] += 1
            table = table.set_column(table.schema.get_field_index("i"), "i", pa.array(values))
        write(self, table, **more)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", wrong)
    with pytest.raises(shardline.ShardlineRuntimeError, match="rows were read, and|differs from what was read"):
        shardline.rewrite(data, tmp_path / "out", **options, **SIZES)
    assert not os.path.lexists(tmp_path / "out")

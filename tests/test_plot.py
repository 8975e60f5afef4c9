"""Pictures draw what the data say."""

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import write_rows

import shardline
from shardline import DataLoader, plot
from shardline.iteration import timing
from shardline.reading import batch_source


def points(axes, number=0):
    return np.asarray(axes.collections[number].get_offsets())


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"shuffle": True, "shuffle_buffer_size": 300}])
def test_rows_are_drawn_where_they_come(tmp_path, options):
    folder = write_rows(tmp_path / "d", [[300, 200], [500]])
    loader = DataLoader(folder, batch_size=50, **options)
    figure = plot.shuffle_quality(loader)
    drawn = points(figure.axes[0])
    line = np.concatenate([batch["i"].numpy() for batch in loader])
    assert len(drawn) == len(line) == 1000
    assert (line[drawn[:, 0].astype(int)] == drawn[:, 1]).all()
    assert loader.dataset.plan.num_rows == figure.axes[0].get_xlim()[1]


def test_means_are_those_of_the_batches(tmp_path):
    folder = write_rows(tmp_path / "d", [[400], [400]])
    loader = DataLoader(folder, batch_size=40)
    batches = [batch["x"].mean().item() for batch in loader]
    figure = plot.shuffle_quality(loader, "x")
    means = points(figure.axes[1])[:, 1]
    assert set(np.round(means, 3)) == set(np.round(batches, 3))
    [band] = figure.axes[1].patches
    middle = band.get_y() + band.get_height() / 2
    assert middle == pytest.approx(np.arange(800).mean() / 2)
    assert np.mean(abs(means - middle) < band.get_height() / 2) < 0.3
    shuffled = plot.shuffle_quality(DataLoader(folder, batch_size=40, shuffle=True), "x")
    means, [band] = points(shuffled.axes[1])[:, 1], shuffled.axes[1].patches
    assert np.mean(abs(means - band.get_y() - band.get_height() / 2) < band.get_height() / 2) > 0.8


def test_row_groups_are_drawn_at_their_sizes(tmp_path):
    folder = write_rows(tmp_path / "d", [[10, 20, 5], [25]])
    rows, sizes = plot.row_groups(folder).axes
    assert points(rows)[:, 1].tolist() == [10, 20, 5, 25]
    footers = [pq.read_metadata(path) for path in sorted(folder.iterdir())]
    wanted = [footer.row_group(n).total_byte_size for footer in footers for n in range(footer.num_row_groups)]
    assert points(sizes)[:, 1].tolist() == wanted
    assert sizes.get_ylabel() == "decompressed bytes"


def test_a_timeline_is_what_a_clock_says(tmp_path, monkeypatch):
    pq.write_table(pa.table({"x": range(50)}), tmp_path / "x.parquet")
    now = [100.0]
    for module in (timing, batch_source, plot):
        monkeypatch.setattr(module, "perf_counter", lambda: now[0])

    def transform(batch):
        now[0] += 3
        return batch

    times = plot.Timeline(DataLoader(tmp_path, batch_size=10, transform=transform))
    for number, _ in enumerate(times):
        now[0] += number
    # The decoding threads have a clock of their own, which no test moves.
    assert [each.training for each in times.steps] == [0, 1, 2, 3, 4]
    assert [each.transform + each.decoding + each.delivery for each in times.steps] == pytest.approx([3] * 5)
    assert all(each.decoding < 3 and each.transform + each.decoding > 2.999 for each in times.steps)
    figure = plot.timeline(times)
    assert [each.get_label() for each in figure.axes[0].collections] == [
        "training", "transform", "decoding", "making tensors"
    ]  # fmt: skip
    training = figure.axes[0].collections[0].get_paths()[0].vertices
    assert training[:, 1].max() == 4000


def test_a_long_timeline_is_drawn_by_means_and_says_what_is_above():
    times = plot.Timeline(DataLoader.__new__(DataLoader))
    times.steps = [plot.Step(0.001, 0.0, 0.003, 0.0)] * 3999 + [plot.Step(0.0, 0.0, 3.0, 0.0)]
    [axes] = plot.timeline(times).axes
    assert "(means of 10 steps)" in axes.get_title()
    assert axes.get_ylim() == (0, pytest.approx(8))
    assert axes.collections[-1].get_label() == "1 higher, up to 304 ms"
    assert points(axes, -1)[:, 0].tolist() == [3990]


def test_what_cannot_be_drawn_is_an_error(hundred, tmp_path, monkeypatch):
    pq.write_table(pa.table({"s": ["a", "b"] * 50}), tmp_path / "s.parquet")
    pq.write_table(pa.table({"s": pa.array([], pa.int64())}), tmp_path / "empty.parquet")
    with pytest.raises(shardline.ShardlineTypeError, match="holds no numbers"):
        plot.shuffle_quality(DataLoader(tmp_path / "s.parquet", batch_size=5), "s")
    with pytest.raises(shardline.ShardlineValueError, match="fewer than two full batches"):
        plot.shuffle_quality(DataLoader(hundred, batch_size=60))
    with pytest.raises(shardline.ShardlineValueError, match="no row group has rows"):
        plot.row_groups(tmp_path / "empty.parquet")
    with pytest.raises(shardline.ShardlineValueError, match="has no steps"):
        plot.timeline(plot.Timeline(DataLoader(hundred)))
    with pytest.raises(shardline.ShardlineTypeError, match="must be a shardline.DataLoader"):
        plot.Timeline([1, 2])
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(shardline.ShardlineImportError, match=r"pip install 'shardline\[plot\]'"):
        plot.row_groups(hundred)

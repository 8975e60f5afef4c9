"""What is refused, and what is said of a checkpoint that does not fit or cannot be written."""

import os
import shutil

import pytest
import torch
from support import lives
from support.small import full_disk, make, names
from torch import nn

import shardline
from demo import same
from shardline import Checkpointer, CheckpointError, CheckpointMismatchError, DataLoader


@pytest.fixture(scope="module")
def server():
    one = lives.Server()
    yield one
    one.close()


def test_what_has_no_state_is_refused(tmp_path):
    for given_, match in (
        ({"model": 3}, "model= must have state_dict"),
        ({"data": [1, 2]}, "shardline.DataLoader, torchdata's"),
        ({"data": torch.utils.data.DataLoader([1, 2])}, "shardline.DataLoader, torchdata's"),
    ):
        with pytest.raises(TypeError, match=match):
            Checkpointer(tmp_path, **given_)
    for name in ("rng_x", "manifest", "sharded", "a-b", "ü"):
        with pytest.raises(ValueError, match="cannot name a part"):
            Checkpointer(tmp_path, **{name: {}})
    _, _, ck = make(tmp_path, extra={"hook": object()})
    with pytest.raises(TypeError, match=r"extra\['hook'\] is a object"):
        ck.save(1)
    _, _, ck = make(tmp_path)
    with pytest.raises(TypeError, match=r"values\['x'\]"):
        ck.save(1, values={"x": torch.zeros(1)})
    with pytest.raises(TypeError, match=r"metrics\['loss'\]"):
        ck.save(1, metrics={"loss": "low"})
    assert not tmp_path.exists() or names(tmp_path) == []


def test_one_process_of_several_without_a_group(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="init_process_group"):
        make(tmp_path)


def test_nothing_but_plain_values_is_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trapped"),)

    _, _, ck = make(tmp_path / "ck")
    ck.save(1)
    torch.save({"trap": Trap()}, tmp_path / "ck" / "step-1" / "model.pt")
    rewrite_manifest(tmp_path / "ck" / "step-1")
    with pytest.raises(CheckpointError, match=r"model.pt cannot be loaded: Weights only load failed"):
        ck.restore()
    assert not (tmp_path / "trapped").exists()


def rewrite_manifest(folder):
    """As if the files had been written as they are now."""
    from dataclasses import replace

    from shardline.checkpoint.atomic_write import read_back
    from shardline.checkpoint.manifest import Manifest

    manifest = Manifest.from_text((folder / "manifest.json").read_text())
    files = {name: read_back(folder / name, lambda: None) for name in manifest.files}
    (folder / "manifest.json").write_text(replace(manifest, files=files).to_text())


def test_what_does_not_fit_is_said_with_torchs_lists(tmp_path):
    _, _, ck = make(tmp_path)
    ck.save(1)
    other = nn.Sequential(nn.Linear(3, 5), nn.Identity(), nn.Linear(5, 1))
    with pytest.raises(CheckpointError) as caught:
        Checkpointer(tmp_path, model=other).restore(only="model")
    for text in ("model does not fit", "size mismatch for 0.weight", 'Unexpected key(s) in state_dict: "1.weight"'):
        assert text in str(caught.value)
    longer = nn.Sequential(nn.Linear(3, 4), nn.Identity(), nn.Linear(4, 1), nn.Linear(1, 1))
    restored = Checkpointer(tmp_path, model=longer).restore(only="model", strict=False)
    assert "missing keys, left as they are: ['3.weight', '3.bias']" in restored.notes[0]
    assert "unexpected keys, not loaded: ['1.weight'" in restored.notes[0]
    with pytest.raises(CheckpointError, match="optimizer does not fit"):
        groups = [{"params": [p]} for p in other.parameters()]
        Checkpointer(tmp_path, optimizer=torch.optim.AdamW(groups)).restore(only="optimizer")
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    Checkpointer(tmp_path, scaler=scaler).save(2)
    with pytest.raises(CheckpointError, match="scaler does not fit"):
        Checkpointer(tmp_path, scaler=torch.amp.GradScaler("cpu")).restore()


def test_data_that_does_not_fit_changes_nothing(rows, tmp_path):
    _, _, ck = make(tmp_path / "ck", data=DataLoader(rows([[20]]), batch_size=2))
    ck.save(1)
    other, _, ck = make(tmp_path / "ck", 1, data=DataLoader(rows([[30]]), batch_size=2))
    before = {k: v.clone() for k, v in other.state_dict().items()}
    with pytest.raises(CheckpointMismatchError):
        ck.restore()
    assert same(dict(other.state_dict()), before)


def test_a_plan_lies_beside_where_the_state_names_no_files(rows, tmp_path, monkeypatch):
    monkeypatch.setattr("shardline.planning.file_table.MAX_PACKED_FILES", 1)
    data = rows([[10], [10]])
    loader = DataLoader(data, batch_size=2)
    _, _, ck = make(tmp_path / "ck", data=loader, keep_last=1)
    for step in (1, 2):
        ck.save(step)
    [plan] = [path for path in (tmp_path / "ck").iterdir() if path.name.startswith("plan-")]
    assert names(tmp_path / "ck") == [plan.name, "step-2"]
    shutil.copy(next(data.iterdir()), data / "part-9999.parquet")
    _, _, ck = make(tmp_path / "ck", data=DataLoader(data, batch_size=2))
    with pytest.raises(CheckpointMismatchError, match="The plan that the run began with lies in .*plan-"):
        ck.restore()
    loader = DataLoader(plan=shardline.Plan.load(plan), batch_size=2)
    assert make(tmp_path / "ck", data=loader)[2].restore().step == 2


def test_a_disk_that_fills_in_the_midst_of_a_file(tmp_path):
    """torch.save has an error of its own then, which says nothing of the disk."""
    ck = Checkpointer(tmp_path, model=nn.Linear(1024, 1024))
    with full_disk(), pytest.raises(CheckpointError, match=r"step 1 could not be written to .*too large"):
        ck.save(1)
    assert names(tmp_path) == []


@pytest.mark.parametrize("blocking", [True, False])
def test_a_full_disk(tmp_path, blocking):
    _, _, ck = make(tmp_path, blocking=blocking, keep_last=1)
    ck.save(1)
    ck.wait()
    _, _, warned = make(tmp_path, blocking=blocking, keep_last=1, on_error="warn")
    with full_disk():
        with pytest.raises(
            CheckpointError, match=r"step 2 could not be written to .*too large.*earlier ones are as they were"
        ):
            ck.save(2)
            ck.wait()
        assert names(tmp_path) == ["step-1"]
        with pytest.warns(RuntimeWarning, match=r"step 2 could not be written.*The training goes on"):  # noqa: PT031
            assert warned.save(2) is not blocking
            warned.wait()
        assert ck.restore().step == 1
    assert warned.save(3)
    warned.wait()
    assert names(tmp_path) == ["step-3"]


def test_a_place_that_may_not_be_written(server, tmp_path):
    _, _, ck = make(tmp_path / "ck")
    ck.save(1)
    (tmp_path / "ck").chmod(0o555)
    [text] = server.run(lives.save_without_rights, str(tmp_path / "ck"))
    (tmp_path / "ck").chmod(0o755)
    assert text.startswith("CheckpointError the checkpoint of step 2 could not be written")
    assert "Permission denied" in text
    assert names(tmp_path / "ck") == ["step-1"]

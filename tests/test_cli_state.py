"""`shardline state`: states wherever they are, two of them, and data that resume one."""

import json
from pathlib import Path

import pytest
import torch
from support import take, write_rows
from support.command import as_json, call, fails, printed

import shardline
from shardline import Checkpointer, DataLoader, compare_states, read_state


@pytest.fixture
def stopped(hundred):
    """A loader after 6 of its 20 batches of 5 rows, of 4 shards."""
    loader = DataLoader(hundred, batch_size=5, shuffle=True, shuffle_seed=3, num_shards=4)
    take(iter(loader), 6)
    return loader


def test_a_state_says_how_far_it_is_and_what_it_needs(stopped, tmp_path):
    file = tmp_path / "state.json"
    file.write_text(json.dumps(stopped.state_dict()))
    found = as_json("state", file)["states"][0]
    assert (found["epoch"], found["percent"], found["rows_to_come"], found["ranks"]) == (0, 30, 70, [1, 2])
    assert found["needs"] == {"batch_size": 5, "shuffle": True, "shuffle_seed": 3}
    data = stopped.dataset.plan.root
    for ranks in found["ranks"]:
        loader = DataLoader(data, rank=0, num_ranks=ranks, **found["needs"])
        loader.load_state_dict(read_state(file).state, strict=False)
        assert "goes on in its leg" in loader.dataset.resumed
    assert "30 % done, 70 rows to come" in printed("state", file, width=60)


def test_a_state_at_its_end_is_done(stopped, tmp_path):
    file = tmp_path / "state.json"
    stopped.load_state_dict(stopped.state_dict())
    assert len(list(stopped)) == 14
    file.write_text(json.dumps(stopped.state_dict()))
    assert as_json("state", file)["states"][0]["percent"] == 100


def test_states_anywhere_in_a_file(stopped, tmp_path):
    file, state = tmp_path / "last.pt", stopped.state_dict()
    torch.save({"model": {"w": torch.ones(3)}, "loops": [{"loader": state}, {"again": state}]}, file)
    report = read_state(file)
    assert report.state == state
    assert [each.where for each in report.states] == ["['loops'][0]['loader']", "['loops'][1]['again']"]
    assert "the same as at ['loops'][0]['loader']" in printed("state", file)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_state_of_a_stateful_data_loader(hundred, tmp_path, workers):
    from torchdata.stateful_dataloader import StatefulDataLoader

    dataset = shardline.StructuredDataset(hundred, batch_size=5)
    with pytest.warns(UserWarning, match="set_vital"):
        loader = StatefulDataLoader(dataset, batch_size=None, num_workers=workers)
    batches = iter(loader)
    for _ in range(4):
        next(batches)
    torch.save(loader.state_dict(), tmp_path / "s.pt")
    found = as_json("state", tmp_path / "s.pt")["states"][0]
    assert (found["kind"], found["rows_to_come"]) == ("the state of a StatefulDataLoader", 80)


def test_the_state_of_torch_dataloader_utils_is_told_and_not_taken(tmp_path):
    torch.save({"epoch": 2, "_num_workers": 4, "_shuffle_seed": 1, "completed_shards": [0, 3]}, tmp_path / "s.pt")
    text = printed("state", tmp_path / "s.pt", code=1)
    assert "epoch 2, 2 shards completed, 4 workers, seed 1" in text
    assert "set_epoch(2)" in text


def test_a_checkpoint_and_a_directory_of_them(stopped, tmp_path):
    model = torch.nn.Linear(1, 1)
    ck = Checkpointer(tmp_path / "ck", model=model, data=stopped)
    for step in (1, 2):
        ck.save(step, metrics={"loss": 0.5})
    for path in (tmp_path / "ck", tmp_path / "ck" / "step-2"):
        report = read_state(path)
        assert report.state == stopped.state_dict()
        assert report.states[0].where == "data"
        assert dict(report.facts)["metrics"] == "loss 0.5"
    (tmp_path / "ck" / "step-2" / "manifest.json").write_text("{")
    assert "step-2" in dict(read_state(tmp_path / "ck").facts)["damaged"]
    assert "manifest.json" in fails("state", tmp_path / "ck" / "step-2")


def test_what_is_no_state(stopped, tmp_path, hundred):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    (tmp_path / "x.json").write_text('{"a": 1}')
    (tmp_path / "half.json").write_text(json.dumps(stopped.state_dict())[:50])
    torch.save({"model": {}}, tmp_path / "model.pt")
    torch.save(stopped, tmp_path / "object.pt")
    assert "no such file" in fails("state", tmp_path / "none")
    assert "no file of torch.save" in fails("state", tmp_path / "x.csv")
    assert "no state of a loader" in fails("state", tmp_path / "x.json")
    assert "cannot be read as JSON" in fails("state", tmp_path / "half.json")
    assert "no state of a loader" in fails("state", tmp_path / "model.pt")
    assert "objects of Python classes" in fails("state", tmp_path / "object.pt")
    assert "no checkpoint" in fails("state", hundred)


def test_a_state_of_another_version_is_named(tmp_path):
    (tmp_path / "old.json").write_text(json.dumps({"shardline": 1, "legs": [], "files": {}}))
    result = call("state", tmp_path / "old.json")
    assert result.exit_code == 1
    assert "it has version 1 of the state" in result.stdout
    assert "version 1" in fails("state", tmp_path / "old.json", tmp_path / "old.json")


def test_two_states_of_a_run(stopped, tmp_path):
    a, b = stopped.state_at(2), stopped.state_at(4)
    for name, state in (("a", a), ("b", b)):
        (tmp_path / f"{name}.json").write_text(json.dumps(state))
    found = as_json("state", tmp_path / "a.json", tmp_path / "b.json")
    assert {each["what"] for each in found["differences"]} >= {"place", "delivered"}
    assert found["resumes"]
    assert compare_states(a, a).differences == []


def rewrite(folder):
    """The same names, one file of other rows."""
    write_rows(folder, [[10, 20, 5], [24], [10, 10, 20]])


def remove(folder):
    (folder / "part-0001.parquet").unlink()


def add(folder):
    (folder / "part-0009.parquet").write_bytes((folder / "part-0001.parquet").read_bytes())


@pytest.mark.parametrize("change", [rewrite, remove, add])
def test_whether_data_resume_a_state_is_what_loading_says(stopped, tmp_path, change):
    state, folder = stopped.state_dict(), stopped.dataset.plan.root
    (tmp_path / "a.json").write_text(json.dumps(state))
    change(Path(folder))
    other = DataLoader(folder, batch_size=5, shuffle=True, shuffle_seed=3)
    (tmp_path / "b.json").write_text(json.dumps(other.state_dict()))
    try:
        other.load_state_dict(state)
        loads = True
    except shardline.CheckpointMismatchError:
        loads = False
    assert loads == (change is add)
    assert as_json("state", tmp_path / "a.json", tmp_path / "b.json", code=1 - loads)["resumes"] is loads
    assert as_json("state", tmp_path / "a.json", folder, code=1 - loads)["resumes"] is loads


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"filters": [("i", "<", 50)]}, "filters differ"),
        ({"sample": 0.5}, "samples differ"),
        ({"shuffle_seed": 4}, "give shuffle=True, shuffle_seed=3"),
        ({}, "the same files and rows"),
    ],
)
def test_what_else_differs(stopped, options, said):
    other = DataLoader(stopped.dataset.plan.root, **{"shuffle": True, "shuffle_seed": 3, **options})
    assert said in compare_states(stopped.state_dict(), other.state_dict()).sentence


def test_data_with_the_filter_of_a_state(hundred, tmp_path):
    loader = DataLoader(hundred, batch_size=5, filters=[("i", "<", 50)])
    take(iter(loader), 2)
    (tmp_path / "a.json").write_text(json.dumps(loader.state_dict()))
    assert as_json("state", tmp_path / "a.json")["states"][0]["percent"] == 20
    assert "give filters= as it was" in printed("state", tmp_path / "a.json", hundred, code=1)
    assert "goes on in its leg" in printed("state", tmp_path / "a.json", hundred, "-f", "i < 50", width=120)
    assert "no such file" in fails("state", tmp_path / "a.json", tmp_path / "none")

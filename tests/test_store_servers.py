"""The laws, unchanged, over real servers: S3 (moto in this process, and SeaweedFS), Google's, a stand-in of
Azure's, and the web."""

import inspect
import os

import pytest
import test_laws
from hypothesis import settings
from support import ids, servers, write_rows

from shardline import DataLoader, StructuredDataset

LAWS = [name for name, function in inspect.getmembers(test_laws, inspect.isfunction) if name.startswith("test_")]
LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"


@pytest.fixture(scope="module", params=["moto", "seaweed", "gcs", "azure", "web"])
def server(request, tmp_path_factory):
    folder = [tmp_path_factory.mktemp("seaweed")] if request.param == "seaweed" else []
    with getattr(servers, request.param)(*folder) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environ.items():
            patch.setenv(name, value)
        yield running


@pytest.fixture(scope="module")
def published(server, tmp_path_factory):
    """What `test_laws` calls folders: the place of some files, written and published once."""
    made = {}

    def folder(groups):
        if groups not in made:
            here = write_rows(tmp_path_factory.mktemp("laws"), [list(sizes) for sizes in groups])
            made[groups] = server.publish(here, f"laws-{len(made)}")
        return made[groups]

    return folder


@pytest.mark.parametrize("law", LAWS)
def test_law(published, law, monkeypatch):
    function = getattr(test_laws, law)
    fewer = settings(function._hypothesis_internal_use_settings, max_examples=60 if LONG else 4)
    monkeypatch.setattr(function, "_hypothesis_internal_use_settings", fewer)
    function(published)


@pytest.mark.parametrize("shuffle", [False, True])
def test_every_stop_of_an_epoch(server, tmp_path, shuffle):
    folder = write_rows(tmp_path / "data", [[60, 41], [7, 7], [150]])
    make = {"batch_size": 20, "shuffle": shuffle, "shuffle_buffer_size": 64}
    path = server.publish(folder, f"stops-{shuffle}")
    wanted = [ids(epoch) for epoch in [StructuredDataset(folder, **make)] * 2]
    loader = DataLoader(path, **make)
    states, found = [loader.state_dict()], []
    for batch in loader:
        found.append(batch["i"].tolist())
        states.append(loader.state_dict())
    assert found == wanted[0]
    for stop, state in enumerate(states):
        resumed = DataLoader(plan=loader.dataset.plan, **make)
        resumed.load_state_dict(state)
        assert [ids(resumed), ids(resumed)] == [wanted[0][stop:], wanted[1]]


def test_names_and_listings(server, tmp_path):
    path = server.publish(write_rows(tmp_path / "a", [[3]]), "names/x=1 ü")
    if isinstance(path, list):  # a web server lists nothing, and says so
        assert ids(StructuredDataset(path)) == [[0, 1, 2]]
        with pytest.raises(FileNotFoundError, match="list"):
            StructuredDataset(path[0].rsplit("/", 1)[0])
        return
    server.publish(write_rows(tmp_path / "b", [[2], [2]], start=3), "names/x=2/deep")
    root = path.rsplit("/", 1)[0]
    names = ["x=1 ü/part-0000.parquet", "x=2/deep/part-0000.parquet", "x=2/deep/part-0001.parquet"]
    assert [name for name, _, _ in StructuredDataset(root).plan.files()] == names
    assert ids(StructuredDataset(f"{root}/x=2/**/*.parquet")) == [[3, 4, 5, 6]]
    assert ids(StructuredDataset(f"{root}/{names[0]}")) == [[0, 1, 2]]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        StructuredDataset(f"{root}/nowhere")

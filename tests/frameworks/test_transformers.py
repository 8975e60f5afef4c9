"""Hugging Face's Trainer, stopped in all ways and resumed by its own checkpoints: batches and weights bit for bit.

803 rows in 51 batches, 3 epochs; with accumulation over 4, which does not divide the epoch, 13 steps each.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support import programs, write_rows
from support.flights import write_flights
from support.page_loop import loops

pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("default")]
BATCHES = 51
LIMIT = 350  # seconds for a process, which imports torch and transformers


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("data") / "rows", [[100, 200, 53], [250], [100, 100]])


@pytest.fixture(scope="module")
def hf() -> Any:
    from frameworks import hf_trainer

    return hf_trainer


@pytest.fixture(scope="module")
def whole(hf: Any, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The uninterrupted run, for a number of batches a step."""
    runs: dict[int, Any] = {}

    def of(accumulate: int) -> Any:
        if accumulate not in runs:
            run = hf.train(data, tmp_path_factory.mktemp("whole"), accumulate=accumulate)
            for epoch in range(hf.EPOCHS):
                rows = sum(run["seen"][epoch * BATCHES : (epoch + 1) * BATCHES], [])
                assert sorted(rows) == list(range(hf.ROWS))
            assert len(run["seen"]) == hf.EPOCHS * BATCHES
            runs[accumulate] = run
        return runs[accumulate]

    return of


def check_rest(whole: Any, resumed: Any) -> None:
    """What came after the checkpoint is what the uninterrupted run had after that step, and so are the weights."""
    done = whole["done_at"][str(resumed["began"])]
    assert resumed["seen"] == whole["seen"][done:]
    assert resumed["weights"] == whole["weights"]
    assert resumed["step"] == whole["step"]


STEPS = {1: 51, 3: 17, 4: 13}
STOPS = {
    "mid-epoch, by an exception": lambda steps, epoch: ({"stop": epoch * steps + 8}, {}),
    "the last batch, by an exception": lambda steps, epoch: (
        {"stop": (epoch + 1) * steps, "save_steps": steps},
        {"save_steps": steps},
    ),
    "after the end, by an exception": lambda steps, epoch: (
        {"stop": (epoch + 1) * steps, "save_strategy": "epoch"},
        {"save_strategy": "epoch"},
    ),
    "max_steps in mid-epoch": lambda steps, epoch: ({"max_steps": epoch * steps + 7}, {}),
    "max_steps at an epoch's end": lambda steps, epoch: ({"max_steps": (epoch + 1) * steps}, {}),
    "stopped early": lambda steps, epoch: ({"stop": epoch * steps + 6, "how": "early", "save_steps": 3}, {}),
    "stopped early, saved by the epoch": lambda steps, epoch: (
        {"stop": epoch * steps + 6, "how": "early", "save_strategy": "epoch"},
        {"save_strategy": "epoch"},
    ),
}


@pytest.mark.parametrize("accumulate", [1, 3, 4])
@pytest.mark.parametrize("epoch", [0, 1, 2])
@pytest.mark.parametrize("where", STOPS)
def test_stopped_and_resumed(hf, data, whole, tmp_path, where, epoch, accumulate):
    stop, then = STOPS[where](STEPS[accumulate], epoch)
    expected = whole(accumulate)
    stopped = hf.train(data, tmp_path, accumulate=accumulate, **stop)
    resumed = hf.train(data, tmp_path, accumulate=accumulate, resume=True, **then)
    assert stopped["seen"] == expected["seen"][: len(stopped["seen"])]
    assert resumed["began"] > 0
    check_rest(expected, resumed)


@pytest.mark.parametrize("accumulate", [1, 4])
def test_stopped_many_times(hf, data, whole, tmp_path, accumulate):
    expected = whole(accumulate)
    resume = False
    for stop in range(4, expected["step"], 4 * STEPS[accumulate] // 13):
        hf.train(data, tmp_path, accumulate=accumulate, stop=stop, how="early", save_steps=2, resume=resume)
        resume = True
    check_rest(expected, hf.train(data, tmp_path, accumulate=accumulate, resume=True))


def test_a_transform_in_worker_processes(hf, data, whole, tmp_path):
    """Batches come through workers that are ahead of the training."""
    hf.train(data, tmp_path, stop=60, loader=workers())
    resumed = hf.train(data, tmp_path, resume=True, loader=workers())
    check_rest(whole(1), resumed)


def workers() -> dict[str, Any]:
    return {"num_workers": 2, "transform": unchanged, "prefetch_factor": 3}


def unchanged(batch: Any) -> Any:
    return batch


def test_a_plain_loader_with_the_callback_and_ignore_data_skip(hf, data, whole, tmp_path):
    """A `get_train_dataloader` of the user's own that gives the loader itself."""
    from shardline.errors import CheckpointMismatchError
    from shardline.integrations.transformers import LoaderCallback

    own = {"trainer": overridden(hf, lambda: hf.loader_of(data)), "given": {}, "callbacks": (LoaderCallback(),)}
    hf.train(data, tmp_path / "3", accumulate=3, stop=24, **own)
    resumed = hf.train(data, tmp_path / "3", accumulate=3, ignore_data_skip=True, resume=True, **own)
    check_rest(whole(3), resumed)
    hf.train(data, tmp_path / "4", accumulate=4, stop=24, **own)
    with pytest.raises(CheckpointMismatchError, match=r"would not take the last step .* 51 batches are not a multiple"):
        hf.train(data, tmp_path / "4", accumulate=4, ignore_data_skip=True, resume=True, **own)
    with pytest.raises(CheckpointMismatchError, match=r"would skip 28 batches .* return .*TrainLoader\(loader\)"):
        hf.train(data, tmp_path / "4", accumulate=4, resume=True, **own)


def test_a_train_loader_of_ones_own_with_the_callback(hf, data, whole, tmp_path):
    from shardline.integrations.transformers import LoaderCallback, TrainLoader

    trainer = overridden(hf, lambda: TrainLoader(hf.loader_of(data)))
    own = {"trainer": trainer, "given": {}, "callbacks": (LoaderCallback(),)}
    hf.train(data, tmp_path, accumulate=4, stop=20, **own)
    check_rest(whole(4), hf.train(data, tmp_path, accumulate=4, resume=True, **own))


def overridden(hf: Any, make: Any) -> Any:
    class Own(hf.Trainer):
        def get_train_dataloader(self):
            return make()

    return Own


def test_a_plain_loader_without_the_callback(hf, data, whole, tmp_path):
    """The Trainer counts for itself: at an epoch's border that is right, and inside it is refused before a row."""
    from shardline.errors import ShardlineRuntimeError

    own = {"trainer": overridden(hf, lambda: hf.loader_of(data)), "given": {}}
    hf.train(data, tmp_path / "border", stop=51, save_steps=51, **own)
    check_rest(whole(1), hf.train(data, tmp_path / "border", save_steps=51, resume=True, **own))
    for batch_size in (hf.BATCH, 1):
        small = {"trainer": overridden(hf, lambda size=batch_size: hf.loader_of(data, batch_size=size)), "given": {}}
        hf.train(data, tmp_path / str(batch_size), stop=10, **small)
        with pytest.raises(ShardlineRuntimeError, match="batches of batches"):
            hf.train(data, tmp_path / str(batch_size), resume=True, **small)


def test_a_dataset_given_as_train_dataset_is_refused(hf, data, tmp_path):
    from shardline import ShardlineRuntimeError, StructuredDataset

    dataset = StructuredDataset(data, batch_size=16, shuffle=True)
    with pytest.raises(ShardlineRuntimeError, match="batches of batches"):
        hf.train(data, tmp_path, trainer=hf.Trainer, given={"train_dataset": dataset})


def test_a_loader_that_is_none_of_ours_is_refused(hf, data, tmp_path):
    from shardline.errors import ShardlineTypeError
    from shardline.integrations.transformers import LoaderCallback

    with pytest.raises(ShardlineTypeError, match=r"train_loader must be a shardline\.DataLoader"):
        hf.train(data, tmp_path, given={"train_loader": [1]})
    with pytest.raises(ShardlineTypeError, match=r"LoaderCallback needs a shardline\.DataLoader .* not list"):
        hf.train(
            data, tmp_path, trainer=overridden(hf, lambda: [1]), given={}, callbacks=(LoaderCallback(),), max_steps=1
        )


def test_a_checkpoint_without_a_place_is_refused(hf, data, tmp_path):
    from shardline.errors import CheckpointMismatchError

    hf.train(data, tmp_path, stop=10, trainer=overridden(hf, lambda: hf.loader_of(data)), given={})
    with pytest.raises(CheckpointMismatchError, match="step 10 holds no place in the data"):
        hf.train(data, tmp_path, resume=True)


@pytest.mark.parametrize("change", [{"accumulate": 3}, {"loader": {"batch_size": 8}}])
def test_what_the_trainer_would_count_otherwise_is_refused(hf, data, tmp_path, change):
    from shardline.errors import CheckpointMismatchError

    hf.train(data, tmp_path, stop=20, accumulate=4)
    with pytest.raises(CheckpointMismatchError, match=r"step 20 stands at batch .* but the Trainer, which counts"):
        hf.train(data, tmp_path, resume=True, **{"accumulate": 4, **change})


def test_an_epoch_that_was_stopped_early_is_refused_at_a_resume(hf, data, tmp_path):
    from shardline.errors import CheckpointMismatchError

    hf.train(data, tmp_path, stop=20, how="epoch", max_steps=60)
    with pytest.raises(CheckpointMismatchError, match=r"batch 40 of epoch 1 .* continue at batch 9 of epoch 1"):
        hf.train(data, tmp_path, resume=True)


def test_restored_callbacks_and_twice_in_one_process(hf, data, whole, tmp_path):
    """The Trainer makes callbacks anew at a resume, if asked; and a Trainer may train again."""
    expected = whole(1)
    hf.train(data, tmp_path, stop=60)
    check_rest(expected, hf.train(data, tmp_path, resume=True, restore_callback_states_from_checkpoint=True))
    hf.torch.manual_seed(1)
    model = hf.Net()
    trainer = hf.ParquetTrainer(model, hf.arguments(tmp_path / "twice", max_steps=20), train_loader=hf.loader_of(data))
    trainer.train()
    trainer.train()
    assert model.seen == 2 * expected["seen"][:20]


def test_evaluation_and_early_stopping(hf, data, whole, tmp_path):
    """Evaluations come between the steps, by a loader that the Trainer does not know; the best model is kept."""
    from transformers import EarlyStoppingCallback

    class Evaluated(hf.ParquetTrainer):
        def get_eval_dataloader(self, eval_dataset=None):
            return hf.loader_of(data, shuffle=False)

    options = {
        "eval_strategy": "steps",
        "eval_steps": 5,
        "load_best_model_at_end": True,
        "metric_for_best_model": "loss",
        "label_names": ["x"],
    }

    def run(**more: Any) -> Any:
        loader = hf.loader_of(data)
        own = {"trainer": Evaluated, "callbacks": (EarlyStoppingCallback(100),)}
        return hf.train(
            data, tmp_path, given={"train_loader": loader, "eval_dataset": loader.dataset}, **own, **options, **more
        )

    run(stop=70)
    resumed = run(resume=True)
    assert resumed["seen"] == whole(1)["seen"][70:]


def launch(ranks: int, data: Path, folder: Path, out: str, *runs: dict[str, Any]) -> list[list[Any]]:
    """What each rank did, in processes of their own."""
    script = Path(__file__).parent / "hf_trainer.py"
    given = [script, folder / out, data, folder, *map(json.dumps, runs)]
    start = [] if ranks == 1 else ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    done = programs.run(*start, *given, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    return [json.loads(Path(f"{folder / out}.{rank}").read_text()) for rank in range(ranks)]


RANKED = {"save_steps": 4, "save_strategy": "steps"}


def test_ranks(hf, data, tmp_path):
    """Stopped on 2 ranks, resumed in new processes: on 2; on 1 with twice the accumulation; refused on 1 without it."""
    stops = {
        "mid": {"stop": 10},
        "many": {"stop": 30, "how": "early"},
        "border": {"max_steps": 26},
        "epoch": {"stop": 17, "how": "early", "save_strategy": "epoch"},
        "half": {"stop": 20},
    }
    loader = {"num_shards": 2}
    first = [{"name": "whole", "loader": loader}]
    first += [{"name": name, "loader": loader, **RANKED, **stop} for name, stop in stops.items()]
    runs = launch(2, data, tmp_path, "first", *first)
    whole = [rank[0] for rank in runs]
    for epoch in range(hf.EPOCHS):
        rows = sum((batch for one in whole for batch in one["seen"][26 * epoch : 26 * (epoch + 1)]), [])
        assert sorted(rows) == list(range(hf.ROWS))
    assert whole[0]["weights"] == whole[1]["weights"]
    again = [{"name": name, "loader": loader, "resume": True} for name in list(stops)[:4]]
    for rank, results in enumerate(launch(2, data, tmp_path, "again", *again)):
        for resumed in results:
            assert resumed["began"] > 0
            check_rest(whole[rank], resumed)
    alone = [{"name": "half", "loader": loader, "resume": True, **more} for more in ({}, {"accumulate": 2})]
    [[refused, resumed]] = launch(1, data, tmp_path, "alone", *alone)
    assert "step 20 stands at batch 40 of epoch 0 of the data, but the Trainer, which counts 52" in refused["error"]
    done = whole[0]["done_at"]["20"]
    assert resumed["seen"][::2] == whole[0]["seen"][done:]
    assert resumed["seen"][1::2] == whole[1]["seen"][done:]
    assert resumed["step"] == whole[0]["step"]


KILL = """
import os, signal
from transformers import TrainerCallback


class Kill(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 33:
            os.kill(os.getpid(), signal.SIGKILL)


trainer.add_callback(Kill())
"""


def test_the_pages_loop_is_killed_and_resumed(tmp_path):
    [loop] = [block for block in loops("transformers.md") if "trainer.train(" in block]
    head, train = loop[: loop.index("trainer.train(")], loop[loop.index("trainer.train(") :]
    start = "import torch\n\ntorch.manual_seed(4)\n"
    end = '\ntorch.save(trainer.model.state_dict(), "end.pt")\n'
    for name in ("whole", "killed"):
        write_flights(tmp_path / name / "flights")
    scripts = {"whole": start + loop + end, "first": start + head + KILL + train, "again": start + loop + end}
    for name, text in scripts.items():
        (tmp_path / name).with_suffix(".py").write_text(text)
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "HF_HUB_OFFLINE": "1"}

    def run(name: str, folder: str) -> int:
        return programs.run(tmp_path / f"{name}.py", cwd=tmp_path / folder, env=environment, timeout=LIMIT).returncode

    assert run("whole", "whole") == 0
    assert run("first", "killed") == -9
    assert run("again", "killed") == 0
    import torch

    ends = [torch.load(tmp_path / name / "end.pt", weights_only=True) for name in ("whole", "killed")]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())

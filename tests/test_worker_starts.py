"""Workers that cannot start: the error says what the child said, and what to do."""

import multiprocessing
import pickle
import resource
import sys
import types
from pathlib import Path

import pytest
from support import context, write_rows
from support import functions as f
from support.worked import make

import shardline
from shardline.workers.sendable import _mentions_main

pytestmark = [
    pytest.mark.timeout(100),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_rows(tmp_path_factory.mktemp("starts") / "data", [[30]])


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Makes this process one that runs a script: a worker's process imports that as its main module."""

    def run(text: str) -> types.ModuleType:
        main = types.ModuleType("__main__")
        main.__file__, main.__spec__ = str(tmp_path / "training.py"), None
        Path(main.__file__).write_text(text)
        monkeypatch.setitem(sys.modules, "__main__", main)
        exec(compile(text, main.__file__, "exec"), main.__dict__)
        return main

    return run


def refused(data, method, transform, workers=2):
    with pytest.raises(shardline.ShardlineRuntimeError) as caught:
        list(make(data, workers, method, transform=transform, batch_size=10))
    assert multiprocessing.active_children() == []
    return str(caught.value)


WORK = "def work(batch):\n    return batch\n"
RAISES = "if __name__ != '__main__':\n    raise ValueError('no second time')\n"


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_main_module_that_raises_in_the_worker(data, script, method):
    text = refused(data, method, script(RAISES + WORK).work, 1)
    assert "died on its start" in text
    assert "Traceback" in text
    assert "training.py" in text
    assert "ValueError: no second time" in text
    assert "if __name__ == '__main__':" in text
    assert "multiprocessing_context='fork'" in text


def test_a_main_module_that_raises_before_it_has_read_what_it_is_sent(data, script):
    """Whose writer then sees a broken pipe, and would take it for a fork server that was ended."""
    more = "class Work:\n    def __init__(self): self.words = 'x' * 3_000_000\n    def __call__(self, b): return b\n"
    text = refused(data, "forkserver", script(RAISES + more).Work())
    assert "worker 0 could not start" in text
    assert "ValueError: no second time" in text


def test_a_loop_without_a_guard(data, script):
    loop = (
        "if __name__ != '__main__':\n    import shardline\n"
        f"    list(shardline.DataLoader({str(data)!r}, 10, transform=work, num_workers=1, "
        "multiprocessing_context='forkserver'))\n"
    )
    text = refused(data, "forkserver", script(WORK + loop).work)
    assert "bootstrapping phase" in text
    assert "if __name__ == '__main__':" in text


def test_a_main_module_that_exits(data, script):
    text = refused(data, "forkserver", script(WORK + "if __name__ != '__main__':\n    raise SystemExit\n").work)
    assert "died on its start" in text
    assert "exited with code" in text
    assert "if __name__ == '__main__':" in text


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("if __name__ == '__main__':\n    def work(batch): return batch\n", "Can't get attribute 'work'"),
        (
            (
                "class Work:\n    def __call__(self, b): return b\n    def __getstate__(self): return {1: 2}\n"
                "    def __setstate__(self, _): raise OSError('no such lexicon')\nwork = Work()\n"
            ),
            "OSError: no such lexicon",
        ),
        (
            (
                "class Work:\n    def __call__(self, b): return b\n    def __getstate__(self): return {1: 2}\n"
                "    def __setstate__(self, _): raise SystemExit(3)\nwork = Work()\n"
            ),
            "SystemExit: 3",
        ),
    ],
)
def test_a_function_that_cannot_be_loaded_there(data, script, more, words):
    text = refused(data, "forkserver", script(more).work)
    assert "worker 0" in text
    assert "could not load transform" in text
    assert words in text
    assert "top level of a module" in text


def test_the_function_that_cannot_be_loaded_is_named(data, script):
    main = script("if __name__ == '__main__':\n    def begin(number): pass\n")
    loader = make(data, 1, "forkserver", transform=f.identity, worker_init_fn=main.begin)
    with pytest.raises(shardline.ShardlineRuntimeError, match="could not load worker_init_fn"):
        iter(loader)


def test_a_working_directory_that_is_gone(data, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(shardline.ShardlineFileNotFoundError, match="working directory was removed.*os.chdir"):
        iter(make(data, 1, "forkserver", transform=f.identity))
    assert len(list(make(data, 1, "fork", transform=f.identity, batch_size=10))) == 3


def test_what_multiprocessing_sends_only_to_its_own_processes_is_sent(data):
    lock = context("forkserver").Lock()
    assert len(list(make(data, 1, "forkserver", transform=f.Locked(lock), batch_size=10))) == 3


def in_daemon(data, queue):
    try:
        list(make(data, 1, "fork"))
    except shardline.ShardlineError as error:
        queue.put(f"{type(error).__name__}: {error}")


def test_in_a_daemonic_process(data):
    fork = multiprocessing.get_context("fork")
    queue = fork.SimpleQueue()
    process = fork.Process(target=in_daemon, args=(data, queue), daemon=True)
    process.start()
    assert "ShardlineRuntimeError: worker processes cannot be started in a daemonic process" in queue.get()
    process.join()


def test_too_many_open_files(data):
    loader = make(data, 200, "fork")
    iter(make(data))  # what is opened once is open
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 40, limits[1]))
    try:
        with pytest.raises(OSError, match="shardline worker .* of 200 could not be started: Too many open files") as e:
            iter(loader)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert isinstance(e.value, shardline.ShardlineError)
    assert multiprocessing.active_children() == []


def test_only_what_is_taken_from_main_is_refused_in_a_notebook(monkeypatch):
    assert not _mentions_main(pickle.dumps(["not __main__", b"c__main__\nf\n.", "main"]))
    monkeypatch.setattr(f.At, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "At", f.At, raising=False)
    for protocol in range(6):
        assert _mentions_main(pickle.dumps(f.At, protocol))

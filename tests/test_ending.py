"""What threads that the interpreter does not wait for are doing when it ends."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import programs
from support.filtered import wide

HEAD = """
import os, sys, threading, time
from shardline import StructuredDataset
from shardline.iteration import shutdown
begun, path, shutdown._PATIENCE = threading.Event(), sys.argv[1], float(sys.argv[2])
def say(text):
    os.write(1, text.encode())
def slow(value=None):
    say("begun ")
    begun.set()
    if shutdown._PATIENCE < 1:
        threading.Event().wait()  # never asks for the GIL again
    while not shutdown._ended:
        time.sleep(0.01)
    time.sleep(0.3)  # an end that does not wait is over by then
    say("made ")
    return value or {"key": "a", "secret": "b"}
def background(work):
    threading.Thread(target=work, daemon=True).start()
    begun.wait()
    say("end ")
"""
BATCHES = HEAD + "background(lambda: list(StructuredDataset(path, batch_size=10, transform=slow)))"
KEYS = HEAD + (
    "storage = {'credential_provider': slow, 'endpoint_url': 'http://127.0.0.1:9', 'retry': {'max_retries': 0}}\n"
    "background(lambda: StructuredDataset('s3://bucket/folder', storage_options=storage))"
)


def run(code, *arguments, timeout=60):
    return programs.run("-c", code, *arguments, warn=["ignore"], timeout=timeout)


@pytest.mark.parametrize("code", [BATCHES, KEYS], ids=["batch", "keys"])
def test_what_is_under_way_ends_first_and_no_more_begins(tmp_path, code):
    pq.write_table(pa.table({"i": range(100)}), tmp_path / "a.parquet")
    done = run(code, tmp_path, 50)
    assert (done.returncode, done.stdout) == (0, "begun end made "), done.stderr


@pytest.mark.parametrize("code", [BATCHES, KEYS], ids=["batch", "keys"])
def test_what_takes_long_is_not_waited_for(tmp_path, code):
    pq.write_table(pa.table({"i": range(100)}), tmp_path / "a.parquet")
    done = run(code, tmp_path, 0.5)
    assert (done.returncode, done.stdout) == (0, "begun end "), done.stderr


MANY = """
import os, sys, threading, time, pyarrow.compute as pc
from shardline import StructuredDataset
options = {"batch_size": 10, "columns": ["i"], "filters": pc.utf8_length(pc.field("s")) > 0}
held = []  # what a thread of the caller's frees while Python ends is the caller's own
def keep(dataset):
    for _ in range(99):
        held.extend(dataset)
for number in range(int(sys.argv[2])):
    child = os.fork()
    if not child:
        dataset = StructuredDataset(sys.argv[1], **options)
        threading.Thread(target=keep, args=(dataset,), daemon=True).start()
        time.sleep(number % 50 / 1000)
        break
    _, status = os.waitpid(child, 0)
    assert status == 0, (number, status)
"""


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_processes_end_at_any_moment_of_a_thread_that_iterates(tmp_path):
    wide(tmp_path / "a.parquet", 20_000, 500)
    done = run(MANY, tmp_path, 200, timeout=3600)
    assert done.returncode == 0, done.stderr

"""Reports for people who look at data, at an order, or at a state before they train.

- `listing`: the files that paths stand for, damaged ones too
- `files`: `inspect()` and its report
- `tensors`: what each column becomes
- `sample`: some rows of columns that may be stored better
- `advice`: what could be laid out better, with figures and the cure
- `batch`: `describe_batch()`
- `explain`: `explain()`: what a loader will do, and what that costs
- `states`: `read_state()`: the states in a file or folder, whoever saved them
- `state_facts`: what a state says, in figures and in words
- `compare`: `compare_states()`
"""

from shardline.inspection.advice import Advice
from shardline.inspection.batch import BatchReport, describe_batch
from shardline.inspection.compare import StateComparison, compare_states
from shardline.inspection.explain import Explanation, explain
from shardline.inspection.files import FilesReport, inspect
from shardline.inspection.states import StateReport, read_state

__all__ = [
    "Advice",
    "BatchReport",
    "Explanation",
    "FilesReport",
    "StateComparison",
    "StateReport",
    "compare_states",
    "describe_batch",
    "explain",
    "inspect",
    "read_state",
]

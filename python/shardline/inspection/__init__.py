"""Reports for people who look at data, at an order, or at a state before they train.

- `listing`: the files that paths stand for, damaged ones too
- `files`: `inspect()` and its report
- `tensors`: what each column becomes
- `sample`: some rows of columns that may be stored better
- `advice`: what could be laid out better, with figures and the cure
- `explain`: `explain()`: what a loader will do, and what that costs
- `states`: `read_state()`: the states in a file or folder, whoever saved them
- `compare`: `compare_states()`
"""

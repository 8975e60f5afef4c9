"""Which files, and in which order their rows come.

- `listing`: the files that paths stand for.
- `table`: the plan of a version of a table; `expired`: of one that its table no longer has.
- `build`: a plan (the file table of a run), made by one process from paths or from an earlier plan.
- `epoch_order`: the order of a plan's rows under the shuffle settings.
- `leave_out`: files that a run goes on without.
- `file_table`: the files as a state holds them.
"""

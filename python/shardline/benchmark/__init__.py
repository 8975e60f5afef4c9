"""How fast a loader reads the user's own data here, beside a hand-written loop and the limit of the machine.

- `turn`: one measurement: what it is given, and what it comes to
- `loader_turn`: of shardline, with or without a model's step
- `loop_turn`: of the loop that people write by hand
- `pages_turn`: of reading and decompressing pages, decoding nothing; `page_walk`: their headers
- `clock`: rows and times of a turn; `memory`: what a process says of its memory
- `server`: a process that forks one for every turn; `client`: its other side
- `readers`: what takes turns
- `rounds`: the turns, one reader after the other
- `result`: medians over rounds, and how far the rounds lie apart
- `report`: what is returned
- `run`: `bench()`
"""

from shardline.benchmark.report import BenchReport
from shardline.benchmark.result import Measured
from shardline.benchmark.run import bench

__all__ = ["BenchReport", "Measured", "bench"]

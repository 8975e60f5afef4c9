"""Whether a resume gives the same batches, on the user's own data, options and transform.

- `digest`: what a batch holds, bit for bit
- `job`: what a process is given to do, and what it says of it
- `recorder`: the transform of a run that is verified
- `suspects`: what a transform uses beside its batch
- `child`: a process; `processes`: all of them
- `stops`: where runs stop, and with what they go on
- `faults`: what breaks a resume, in words, with the cure
- `diagnose`: which fault it is
- `report`: what is returned
- `run`: `verify()`
"""

from shardline.verification.faults import ResumeFault
from shardline.verification.report import VerifyReport
from shardline.verification.run import verify

__all__ = ["ResumeFault", "VerifyReport", "verify"]

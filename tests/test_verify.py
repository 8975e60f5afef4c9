"""`shardline verify` proves what is so, and says what it tried."""

import pytest

# Processes that import torch, several to a test.
pytestmark = [pytest.mark.usefixtures("quick"), pytest.mark.timeout(300)]

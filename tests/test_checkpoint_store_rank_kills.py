"""Several ranks that save their pieces to a store; one of them, or all, killed at random moments."""

import random
from itertools import count

import pytest
from support import killed_ranks, servers, write_rows
from support.bucket import WritableStore
from support.job import DIED, LIMIT, job
from support.manifests import last

ROWS = [[60, 100], [160], [90, 70], [80, 80]]  # 640 rows: 80 steps an epoch of 2 ranks; half of them: 40
RANKS = 2


def check_kills(environ, bucket, objects, tmp_path, kills, seed, span, blocking, rows=ROWS, limit=LIMIT):
    """How many trainings it took, and how many lives ended with a checkpoint half written."""
    data = write_rows(tmp_path / "data", rows)

    def live(prefix, log, **how):
        args = (environ, str(data), f"{bucket}/{prefix}", str(log), blocking)
        return job(RANKS, killed_ranks.train, *args, limit=limit, **how)

    def steps(log):
        """(rank, epoch, index) → what that step was."""
        return {
            (rank, *place): (ids, loss)
            for rank in range(RANKS)
            for *place, ids, loss in killed_ranks.read(str(log), rank)[1]
        }

    expected = live("whole", tmp_path / "log")
    reference = steps(tmp_path / "log")
    assert len(reference) == RANKS * 2 * 40 * len(rows) // 2
    chance, killed, cut = random.Random(seed), 0, 0
    run = 0
    while killed < kills:
        run += 1
        prefix, taken = f"killed-{run}", set()
        for life in count(1):
            log, before = tmp_path / f"log-{run}-{life}", objects(prefix)
            there, how = last(before, prefix), {}
            if killed < kills:
                victims = chance.choice([[0], [1], [0, 1]])
                how = {"started": killed_ranks.killing(str(log), chance.uniform(0, span), victims)}
            found = live(prefix, log, **how)
            for rank in range(RANKS):
                first, _ = killed_ranks.read(str(log), rank)
                # the last manifest's; a rank may be killed before it could write that
                assert first in ([], [there[0]["step"] if there else 0, []])
            assert all(rest == reference[place] for place, rest in steps(log).items()), (run, life)
            taken |= set(steps(log))
            if found != [DIED] * RANKS:
                break
            killed += 1
            cut += bool(unfinished(objects(prefix)) - unfinished(before))
        assert taken == set(reference)
        assert found == expected
    return run, cut


def unfinished(objects):
    """The checkpoints without a manifest."""
    whole = {key.removesuffix("/manifest.json") for key in objects if key.endswith("/manifest.json")}
    return {"/".join(key.split("/")[:2]) for key in objects if "/step-" in key} - whole


@pytest.mark.timeout(300)
@pytest.mark.parametrize("blocking", [True, False])
def test_any_ranks_killed(tmp_path, blocking):
    with WritableStore() as store:
        check_kills(
            store.environ, "s3://bucket", lambda _: dict(store.objects), tmp_path, 2, 5, 1.0, blocking, ROWS[:2]
        )


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("blocking", [True, False])
def test_any_ranks_killed_100_times(tmp_path, blocking, say):
    with servers.seaweed(tmp_path, volumes=200) as server:
        runs, cut = check_kills(
            server.environ,
            "s3://laws",
            lambda prefix: servers.objects(server, prefix + "/"),
            *(tmp_path, 100, 6, 2.0, blocking, ROWS, 300),
        )
    assert cut > 0
    say(f"2 ranks, one or both killed 100 times ({cut} in a save) in {runs} trainings, {blocking=}: all equal")

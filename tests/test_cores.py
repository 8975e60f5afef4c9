"""The default of `num_threads`: the cores that this process may use."""

import os

import pytest

from shardline.options import cpu as cores


def place(root, path, **files):
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.mark.parametrize(
    ("job", "parent", "quota"),
    [
        ("250000 100000", "max 100000", 2.5),
        ("max 100000", "150000 100000", 1.5),
        ("800000 100000", "400000 100000", 4),
        ("max 100000", "max 100000", None),
        ("nonsense", "max 100000", None),
    ],
)
def test_the_tightest_quota_of_a_cgroup_and_those_above_it(tmp_path, job, parent, quota):
    place(tmp_path, "slice/job", cpu__max=job)
    place(tmp_path, "slice", cpu__max=parent)
    membership = tmp_path / "cgroup"
    membership.write_text("0::/slice/job\n")
    assert cores._cgroup_quota(tmp_path, membership) == quota


@pytest.mark.parametrize(("quota", "cores_"), [("300000", 3), ("-1", None)])
def test_the_quota_of_a_cgroup_of_version_1(tmp_path, quota, cores_):
    place(tmp_path, "cpu/job", cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000")
    membership = tmp_path / "cgroup"
    membership.write_text("5:memory:/job\n4:cpu,cpuacct:/job\n")
    assert cores._cgroup_quota(tmp_path, membership) == cores_


def test_no_cgroup_is_no_quota(tmp_path):
    assert cores._cgroup_quota(tmp_path, tmp_path / "none") is None


@pytest.mark.parametrize(
    ("affinity", "quota", "usable"), [(8, None, 8), (8, 2.5, 3), (2, 64.0, 2), (4, 0.1, 1), (1, None, 1)]
)
def test_affinity_and_quota_are_respected(monkeypatch, affinity, quota, usable):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(affinity)), raising=False)
    monkeypatch.setattr(cores, "_cgroup_quota", lambda: quota)
    assert cores.usable_cores() == usable

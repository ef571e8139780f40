"""What the local cluster does on machines that are not as ours: other homes, other sources, no cgroups."""

from pathlib import Path

import pytest
from tests.cluster import base_image, cgroups, lifecycle
from tests.cluster.shell import ClusterError


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """This user's state folder, on a machine where no cluster runs."""
    own = tmp_path / "home" / "modelservice" / "cluster"
    monkeypatch.setattr(lifecycle, "OWNER", tmp_path / "owner")
    monkeypatch.setattr(lifecycle, "STATE", own)
    return own


def test_a_machine_without_a_cluster_or_with_our_own_is_ours(state: Path, tmp_path: Path) -> None:
    lifecycle.require_own_cluster()
    (tmp_path / "owner").write_text(str(state))
    lifecycle.require_own_cluster()


@pytest.mark.usefixtures("state")
def test_a_cluster_of_another_home_is_left_alone_and_named(tmp_path: Path) -> None:
    (tmp_path / "owner").write_text("/home/other/.cache/modelservice/cluster")
    with pytest.raises(ClusterError, match=r"XDG_CACHE_HOME=/home/other/\.cache make cluster-down"):
        lifecycle.require_own_cluster()


def test_a_machine_that_gives_no_cgroup_is_told_what_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read_only = tmp_path / "file"
    read_only.touch()
    monkeypatch.setattr(cgroups, "hierarchies", lambda: [read_only])
    with pytest.raises(ClusterError, match="--cgroupns=host"):
        cgroups.ensure("modelservice-1")


def test_the_base_image_comes_from_the_distributions_own_mirror(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    (folder / "docker.list").write_text("deb [arch=amd64] https://docker.example/linux/ubuntu noble stable\n")
    (folder / "ubuntu.sources").write_text("Types: deb\nURIs: http://mirror.example/ubuntu/\nSuites: noble\n")
    monkeypatch.setattr(base_image, "_APT", tmp_path)
    assert base_image._mirror("ubuntu") == ["http://mirror.example/ubuntu/"]

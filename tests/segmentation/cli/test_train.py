"""``train`` and ``segment --network``: from patches to a network to a segmentation."""

import json

import pytest

from segmentation.testing import synthetic_scene, write_scene


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for i in range(2):
        write_scene(folder / f"scene{i}.tif", synthetic_scene(100, 120, 3, seed=i)[0])
    return folder


def test_patches_a_network_and_a_segmentation_with_it(run, folder, tmp_path):
    assert run("patches", folder, tmp_path / "p", "--patch-shape", 64, 64).returncode == 0
    network = tmp_path / "n.safetensors"
    done = run(
        "train", tmp_path / "p", "--out", network, "--steps", 3, "--clusters", "4,8", "--rounds", 2, "--json"
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["bands"], facts["steps"], facts["images"]) == (3, 3, 8)
    done = run("segment", folder / "scene0.tif", tmp_path / "s", "--network", network, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["learned_steps"] == 0
    assert (tmp_path / "s" / "network.safetensors").exists()
    done = run("segment", folder / "scene1.tif", tmp_path / "t", "--train-steps", 3, "--json")
    assert json.loads(done.stdout)["learned_steps"] == 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--clusters", "a"], "clusters"),
        (["--clusters", ""], "No number of clusters"),
        (["--clusters", "1"], "clusters"),
        (["--rounds", 0], "0 rounds"),
        (["--seconds", 0], "0 seconds"),
        (["--steps", 1], "1 steps"),
        (["--bands", "0"], "bands"),
        (["--device", "tpu"], "tpu"),
    ],
)
def test_bad_arguments(run, folder, tmp_path, options, sentence):
    done = run("train", folder, "--out", tmp_path / "n", *options)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert not (tmp_path / "n").exists()


def test_places_that_are_none(run, folder, tmp_path):
    assert run("train", tmp_path / "missing", "--out", tmp_path / "n").returncode == 2
    done = run("train", folder, "--out", tmp_path)
    assert done.returncode == 2
    assert "is a folder" in done.stderr
    done = run("segment", folder / "scene0.tif", tmp_path / "s", "--network", folder / "scene0.tif")
    assert done.returncode == 1
    assert "cannot be read" in done.stderr
    assert not (tmp_path / "s").exists()

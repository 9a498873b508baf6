"""``evaluate``: tables, JSON and plot; other grids and numbers are refused."""

import json

import numpy as np
import pytest
from affine import Affine

from segmentation.testing import write_scene

TRUTH = np.array([[1, 1, 1, 1], [2, 2, 2, 0]] * 2, np.uint8)
MAP = np.array([[1, 1, 1, 2], [2, 2, 0, 1]] * 2, np.uint8)


@pytest.fixture
def files(tmp_path):
    return write_scene(tmp_path / "m.tif", MAP[None]), write_scene(tmp_path / "t.tif", TRUTH[None])


def test_tables_json_and_plot_agree(files, tmp_path, call):
    done = call("evaluate", *files, "--json", tmp_path / "e.json", "--plot", tmp_path / "e.png")
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "e.json").read_text())
    assert facts["pixels"] == 12
    assert facts["accuracy"] == pytest.approx(10 / 12)
    assert facts["accuracy_of_all"] == pytest.approx(10 / 14)
    assert facts["confusion"] == {"classes": [1, 2], "counts": [[6, 2], [0, 4]], "unclassified": [0, 2]}
    assert "12 pixels scored, 85.7% of those with a true class." in done.stdout
    assert "accuracy 0.833" in done.stdout
    assert (tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")
    printed = call("evaluate", *files, "--json", "-")
    assert json.loads(printed.stdout) == facts
    counted = json.loads(call("evaluate", *files, "--json", "-", "--count-unclassified").stdout)
    assert counted["accuracy"] == pytest.approx(10 / 14)
    without = json.loads(call("evaluate", *files, "--json", "-", "--ignore", "2").stdout)
    assert [one["class"] for one in without["classes"]] == [1]


def test_names_come_from_beside_the_truth_or_a_legend(files, tmp_path, call):
    (tmp_path / "t.json").write_text('{"classes": {"1": "water", "2": "forest"}}')
    assert "forest" in call("evaluate", *files).stdout
    (tmp_path / "l.json").write_text('{"classes": {"1": "lake", "2": "wood"}}')
    printed = call("evaluate", *files, "--legend", tmp_path / "l.json").stdout
    assert "wood" in printed
    assert "forest" not in printed


def test_other_numbers_for_the_same_names_are_refused(files, tmp_path, call):
    (tmp_path / "t.json").write_text('{"classes": {"1": "water", "2": "forest"}}')
    (tmp_path / "m.json").write_text('{"classes": {"1": "forest", "2": "water"}}')
    done = call("evaluate", *files)
    assert done.returncode == 2
    assert '"forest" is class 1 in m.tif and class 2 in t.tif' in done.stderr


def test_other_grids_are_refused(files, tmp_path, call):
    small = write_scene(tmp_path / "small.tif", TRUTH[None, :, :])
    wide = write_scene(tmp_path / "wide.tif", np.ones((1, 4, 5), np.uint8))
    moved = write_scene(
        tmp_path / "moved.tif", TRUTH[None], transform=Affine(10, 0, 390_025, 0, -10, 5_820_000)
    )
    plain = write_scene(tmp_path / "plain.tif", TRUTH[None], crs=None)
    assert call("evaluate", files[0], small).returncode == 0
    assert call("evaluate", files[0], plain).returncode == 0  # a painted mask has no place
    done = call("evaluate", files[0], wide)
    assert (done.returncode, "m.tif has 4 x 4 pixels and wide.tif 5 x 4" in done.stderr) == (2, True)
    done = call("evaluate", files[0], moved)
    assert (done.returncode, "lie 2.5 pixels apart" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--plot", "e.txt"], 2, "let its name end in .png, .svg or .pdf"),
        (["--ignore", "x"], 2, 'The class numbers to ignore are "x"'),
        (["--ignore", "5000"], 2, "from 0 to 1023"),
        (["--json", "no/e.json"], 2, "The folder no does not exist"),
        (["--legend", "nowhere.json"], 2, "nowhere.json cannot be read"),
    ],
)
def test_bad_arguments_are_one_sentence(files, tmp_path, monkeypatch, call, arguments, code, sentence):
    monkeypatch.chdir(tmp_path)
    done = call("evaluate", *files, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in done.stderr


def test_missing_and_foreign_files_are_refused(files, tmp_path, call):
    assert call("evaluate", files[0], tmp_path / "no.tif").returncode == 1
    done = call("evaluate", write_scene(tmp_path / "rgb.tif", np.ones((3, 4, 4), np.uint8)), files[1])
    assert (done.returncode, "has 3 bands; a class map has one" in done.stderr) == (1, True)
    empty = write_scene(tmp_path / "empty.tif", np.zeros((1, 4, 4), np.uint8))
    done = call("evaluate", files[0], empty)
    assert (done.returncode, "The truth has no class on any pixel" in done.stderr) == (2, True)

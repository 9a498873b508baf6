"""Networks over REST, as rows and as files; and segmentations that ask for one."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from segmentation.features.normalize import BandScaling
from segmentation.learning.encoder import Encoder
from segmentation.learning.network import Network as TrainedNetwork
from segmentation.learning.network import load_network, read_tensors, write_tensors
from tests.webapp import scenario
from webapp import quotas, storage
from webapp.jobs import door, learning, networks
from webapp.jobs.tasks import NETWORK_FILE
from webapp.models import Network, Segmentation

pytestmark = pytest.mark.django_db(transaction=True)

TRAINING = {"steps": 600, "seed": 0, "device": "cpu", "rounds": 3}


def trained(n_bands=3, scaling=None, training=None):
    torch.manual_seed(1)
    return TrainedNetwork(Encoder(n_bands, (4, 4, 8), 4).eval(), n_bands, scaling, training or TRAINING)


@pytest.fixture
def file_bytes(tmp_path):
    def make(network=None):
        (network or trained()).save(tmp_path / "made.safetensors")
        return (tmp_path / "made.safetensors").read_bytes()

    return make


def upload(client, data, name="town.safetensors"):
    return client.post(f"/api/networks?name={name}", data, content_type="application/octet-stream")


@pytest.fixture
def network(signed_in, file_bytes) -> Network:
    assert upload(signed_in, file_bytes()).status_code == 201
    return Network.objects.get()


# ---------------------------------------------------------------------------------------------------- files


def test_upload_is_kept_described_and_given_back(signed_in, user, file_bytes):
    data = file_bytes()
    made = upload(signed_in, data)
    assert made.status_code == 201
    network = Network.objects.get()
    assert made.json() == {
        "id": network.pk,
        "name": "town",
        "scene": None,
        "scene_name": None,
        "segmentation": None,
        "n_bands": 3,
        "bands": [],
        "training": TRAINING,
        "fingerprint": trained().fingerprint,
        "size_bytes": len(data),
        "created_at": network.created_at.isoformat(),
    }
    assert signed_in.get("/api/networks").json() == [made.json()]
    assert network.path.read_bytes() == data
    got = signed_in.get(f"/api/networks/{network.pk}/file")
    assert got.content == data
    assert got["Content-Disposition"] == 'attachment; filename="town.safetensors"'
    assert quotas.used_bytes(user) == len(data)
    assert list(storage.uploads_folder().iterdir()) == []


def test_network_of_principal_components_is_taken(signed_in, file_bytes):
    scaling = BandScaling(np.zeros(12, np.float32), np.ones(12, np.float32), np.ones((8, 12), np.float32))
    given = TrainedNetwork(Encoder(8, (4, 4, 8), 4).eval(), 12, scaling, TRAINING)
    made = upload(signed_in, file_bytes(given))
    assert (made.status_code, made.json()["n_bands"]) == (201, 12)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda data: b"", "town is empty; choose the file again."),
        (lambda data: b"GIF89a", "town cannot be read"),
        (lambda data: data[:-1], "town cannot be read"),
        (lambda data: data + bytes(networks.MAX_BYTES), "larger than the 8 MiB"),
    ],
)
def test_what_is_no_network_is_refused(signed_in, file_bytes, damage, sentence):
    response = upload(signed_in, damage(file_bytes()))
    assert 400 <= response.status_code < 500
    assert sentence in response.json()["detail"]
    assert str(storage.uploads_folder().parent) not in response.json()["detail"]
    assert not Network.objects.exists()
    assert list(storage.uploads_folder().iterdir()) == []


def test_network_with_a_long_story_is_refused(signed_in, file_bytes):
    response = upload(signed_in, file_bytes(trained(training={"images": ["x" * 30_000]})))
    assert (response.status_code, "What town says of its training" in response.json()["detail"]) == (
        400,
        True,
    )


def test_network_whose_words_do_not_fit_its_numbers_is_refused(signed_in, tmp_path):
    path = tmp_path / "n.safetensors"
    trained().save(path)
    tensors, description = read_tensors(path)
    write_tensors(path, tensors, description | {"n_bands": 10**9})
    response = upload(signed_in, path.read_bytes())
    assert response.status_code == 400
    assert "damaged or of another program" in response.json()["detail"]


def test_form_is_refused(signed_in):
    response = signed_in.post("/api/networks", {"name": "x"})
    assert (response.status_code, "as the body of the request" in response.json()["detail"]) == (400, True)


def test_quota_holds_for_networks(signed_in, settings, file_bytes):
    settings.QUOTA_BYTES = 100
    response = upload(signed_in, file_bytes())
    assert (response.status_code, "delete a scene" in response.json()["detail"]) == (507, True)


def test_upload_is_for_those_who_are_signed_in(client, file_bytes):
    assert upload(client, file_bytes()).status_code == 401


# ---------------------------------------------------------------------------------------------------- rows


def test_rename(signed_in, network):
    url = f"/api/networks/{network.pk}"
    changed = signed_in.patch(url, json.dumps({"name": " Roofs \n"}), content_type="application/json")
    assert changed.json()["name"] == "Roofs"
    refused = signed_in.patch(url, json.dumps({"name": " "}), content_type="application/json")
    assert (refused.status_code, refused.json()["detail"]) == (400, "A name needs at least one character.")
    network.refresh_from_db()
    assert network.name == "Roofs"


def test_delete_frees_the_file(signed_in, network):
    path = network.path
    assert signed_in.delete(f"/api/networks/{network.pk}").status_code == 204
    assert not Network.objects.exists()
    assert not path.exists()
    assert signed_in.delete(f"/api/networks/{network.pk}").status_code == 404


def test_delete_waits_for_segmentations_that_use_it(signed_in, user, network):
    row = Segmentation.objects.create(scene=scenario.make_scene(user), parameters={"network": network.pk})
    response = signed_in.delete(f"/api/networks/{network.pk}")
    assert (response.status_code, "uses the network town" in response.json()["detail"]) == (409, True)
    Segmentation.objects.filter(pk=row.pk).update(state="complete")
    assert signed_in.delete(f"/api/networks/{network.pk}").status_code == 204


def test_others_find_nothing(other_client, network):
    url = f"/api/networks/{network.pk}"
    assert other_client.get("/api/networks").json() == []
    name = json.dumps({"name": "mine"})
    for response in (
        other_client.get(f"{url}/file"),
        other_client.delete(url),
        other_client.patch(url, name, content_type="application/json"),
    ):
        assert (response.status_code, "no network" in response.json()["detail"]) == (404, True)
    assert network.path.exists()


def test_file_that_is_gone_is_told(signed_in, network):
    network.path.unlink()
    response = signed_in.get(f"/api/networks/{network.pk}/file")
    assert (response.status_code, "is gone" in response.json()["detail"]) == (409, True)


def test_file_without_row_is_an_orphan(network):
    import os

    stray = network.path.with_name("999.safetensors")
    stray.write_bytes(b"x")
    for path in (stray, network.path):
        os.utime(path, (1, 1))
    assert [orphan.path for orphan in storage.find_orphans()] == [stray]


# ---------------------------------------------------------------------------------------------------- segmentations


@pytest.fixture
def scene(user):
    return scenario.make_scene(user)  # three bands


@pytest.fixture
def begun(monkeypatch):
    """Parameters of what was handed over to the engine, which does not run here."""
    handed = []
    monkeypatch.setattr(door, "submit_segmentation", lambda row: handed.append(row.parameters))
    return handed


def start(client, scene, **fields):
    return client.post(
        f"/api/scenes/{scene.pk}/segmentations", json.dumps(fields), content_type="application/json"
    )


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({}, {"mode": "fast", "train_seconds": None}),
        ({"mode": "fast", "train_seconds": 0}, {"mode": "fast", "train_seconds": None}),
        ({"mode": "best"}, {"mode": "best", "train_seconds": 77}),
        ({"mode": "best", "train_seconds": 0}, {"mode": "best", "train_seconds": 0}),
        ({"mode": "best", "train_seconds": 3600}, {"mode": "best", "train_seconds": 3600}),
        ({"mode": "best", "train_seconds": 2.5}, {"mode": "best", "train_seconds": 2.5}),
    ],
)
def test_learning_is_asked_for(signed_in, scene, settings, begun, fields, kept):
    settings.LEARNING_SECONDS = 77
    assert start(signed_in, scene, **fields).status_code == 201
    assert begun[0] == begun[0] | kept | {"network": None}


def test_network_is_asked_for_by_its_number_and_named(signed_in, scene, begun, network):
    assert start(signed_in, scene, network=network.pk).status_code == 201
    assert begun[0] == begun[0] | {"mode": "fast", "network": network.pk, "network_name": "town"}
    assert start(signed_in, scene, network=network.pk, bands=[3, 2, 1]).status_code == 201


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({"mode": "slow"}, 422, "'fast' or 'best'"),
        (
            {"mode": "best", "train_seconds": -1},
            400,
            "cannot last -1 seconds; choose 0 to 3,600, or nothing for 60",
        ),
        ({"mode": "best", "train_seconds": 3601}, 400, "cannot last 3601 seconds"),
        ({"mode": "best", "train_seconds": float("nan")}, 400, "cannot last nan seconds"),
        ({"mode": "best", "train_seconds": "60"}, 422, "number"),
        ({"mode": "best", "train_seconds": True}, 422, "number"),
        ({"mode": "fast", "train_seconds": 5}, 400, "nothing is trained"),
        ({"network": 999}, 404, "no network 999"),
        ({"network": "1"}, 422, "integer"),
    ],
)
def test_learning_is_refused(signed_in, scene, settings, begun, fields, status, sentence):
    settings.LEARNING_SECONDS = 60
    response = start(signed_in, scene, **fields)
    assert response.status_code == status, response.content
    assert sentence in response.json()["detail"]
    assert begun == []


def test_network_for_other_bands_is_refused(signed_in, scene, begun, network):
    response = start(signed_in, scene, network=network.pk, bands=[1, 2])
    assert response.status_code == 400
    assert response.json()["detail"] == (
        "The network town was trained on 3 bands, and 2 would be used here; choose as many bands, in the same order, or "
        "another network."
    )
    network.path.unlink()
    assert start(signed_in, scene, network=network.pk).status_code == 409
    assert begun == []


def test_anothers_network_is_refused(other_client, stranger, network, begun):
    response = start(other_client, scenario.make_scene(stranger), network=network.pk)
    assert (response.status_code, begun) == (404, [])


# ---------------------------------------------------------------------------------------------------- keeping


def learned_segmentation(user, steps=600):
    scene = scenario.make_scene(user)
    scene.info |= {"band_names": ["a", "b", "c"], "band_roles": ["red", "green", ""]}
    scene.save()
    row = scenario.make_segmentation(scene)
    row.parameters = {"mode": "best", "bands": [3, 1]}
    row.save()
    trained(2).save(row.store_path / NETWORK_FILE)
    learned = {"training": {**TRAINING, "steps": steps}, "n_bands": 2, "fingerprint": trained(2).fingerprint}
    return row, learned


def test_network_of_a_segmentation_is_kept_once(user):
    row, learned = learned_segmentation(user)
    for _ in range(2):
        assert learning.keep_network(row, learned) == ""
    network = Network.objects.get()
    assert (network.owner, network.scene, network.segmentation) == (user, row.scene, row)
    assert (network.name, network.n_bands) == ("field, 600 steps", 2)
    assert network.bands == [{"name": "c", "role": ""}, {"name": "a", "role": "red"}]
    assert load_network(network.path).fingerprint == network.fingerprint
    assert network.size_bytes == network.path.stat().st_size


def test_network_that_was_only_applied_is_not_kept_again(user):
    row, learned = learned_segmentation(user, steps=0)
    assert learning.keep_network(row, learned) == ""
    assert not Network.objects.exists()


def test_network_that_cannot_be_kept_is_remarked(user, data_dir):
    row, learned = learned_segmentation(user)
    (data_dir / "networks").write_text("no folder")
    assert "could not be kept" in learning.keep_network(row, learned)
    assert not Network.objects.exists()


def test_network_outlives_its_segmentation_and_scene(signed_in, user):
    row, learned = learned_segmentation(user)
    learning.keep_network(row, learned)
    assert signed_in.delete(f"/api/segmentations/{row.pk}").status_code == 204
    assert signed_in.delete(f"/api/scenes/{row.scene_id}").status_code == 204
    [described] = signed_in.get("/api/networks").json()
    assert (described["scene"], described["scene_name"], described["segmentation"]) == (None, None, None)
    assert Network.objects.get().path.exists()

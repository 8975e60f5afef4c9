"""Keys that a caller hands out or gives by a wrong name: used as long as they serve, and shown nowhere."""

import time

import pytest
from support.store import Fault, open_store

from shardline import StructuredDataset

SECRET = "ya29.secret-of-the-tests"


def test_keys_in_hand_serve_while_their_provider_fails(store):
    """They are to be renewed after 1.9 seconds, and serve for as long again."""
    calls = []

    def provider():
        calls.append(time.time())
        if len(calls) > 1:
            raise RuntimeError("the vault is closed")
        return {"access_key_id": "AKID", "secret_access_key": SECRET, "expires_at": time.time() + 3.8}

    dataset = open_store(store)
    options = {"endpoint_url": store.endpoint, "credential_provider": provider}
    store.latency = 1.0  # a listing, a footer, and then the others, all at once
    assert open_store(store, store.url + "/", storage_options=options).plan == dataset.plan
    assert len(calls) == 2, "not with every request"


@pytest.mark.parametrize("expires", ["2026-01-01T00:00:00Z", 1_700_000_000_000, "soon", float("nan")])
def test_a_time_that_is_none_is_refused(store, expires):
    keys = {"access_key_id": "AKID", "secret_access_key": SECRET, "expires_at": expires}
    options = {"endpoint_url": store.endpoint, "credential_provider": lambda: keys}
    with pytest.raises(PermissionError, match="expires_at must be a datetime or seconds since 1970"):
        open_store(store, storage_options=options)


def test_keys_of_a_short_life_are_not_asked_for_with_every_request(store):
    body = store.objects["data/part-0001.parquet"]
    store.objects = {f"data/{n:03}.parquet": body for n in range(100)}
    calls = []

    def provider():
        calls.append(1)
        return {"access_key_id": "AKID", "secret_access_key": SECRET, "expires_at": time.time() + 50}

    open_store(store, storage_options={"endpoint_url": store.endpoint, "credential_provider": provider})
    assert len(calls) == 1


@pytest.mark.parametrize("name", ["token", "service_account"])
@pytest.mark.parametrize("given", [SECRET, '{"private_key": "' + SECRET + '"}'])
def test_a_secret_for_the_path_of_an_account_is_refused_and_not_shown(name, given):
    with pytest.raises(ValueError, match="bearer_token") as caught:
        StructuredDataset("gs://bucket/data", batch_size=7, storage_options={name: given})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "headers", [{"Authorization": "Bearer " + SECRET}, {"Authorization": SECRET}, {"Cookie": "a=b; session=" + SECRET}]
)
def test_an_answer_that_repeats_a_header_is_not_shown(store, headers):
    store.faults = lambda request: Fault(403) if request.method == "GET" else None
    store.words = f"invalid token {SECRET}"
    with pytest.raises(PermissionError) as caught:
        open_store(store, store.http_urls, storage_options={"headers": headers})
    assert SECRET not in str(caught.value)
    assert "***" in str(caught.value)

"""What a caller says of a store: options, credentials, secrets, and what the log tells."""

import copy
import json
import logging
import pickle
import re
import threading
import time
from pathlib import Path

import pytest
from support import ids, take
from support.store import BUCKET, Fault, open_store

from shardline import DataLoader, StructuredDataset

SECRET = "secret-of-the-tests"


def test_headers_for_a_web_server(store):
    options = {"headers": {"Authorization": "Bearer " + SECRET}}
    list(StructuredDataset(store.http_urls, batch_size=7, storage_options=options))
    assert all({k.lower(): v for k, v in h.items()}["authorization"] == "Bearer " + SECRET for h in store.headers)
    with pytest.raises(ValueError, match="user or password"):
        StructuredDataset(store.http_urls[0].replace("://", f"://user:{SECRET}@"), batch_size=7)
    with pytest.raises(ValueError, match="query") as caught:
        StructuredDataset(f"{store.http_urls[0]}?sig={SECRET}", batch_size=7)
    assert SECRET not in str(caught.value)


def test_unknown_options_suggest_the_near_one(store):
    for name, near in (("endpont_url", "endpoint_url"), ("acess_key_id", "access_key_id"), ("secrt", "secret")):
        with pytest.raises(ValueError, match=f'"{name}".*"{near}"'):
            open_store(store, storage_options={name: SECRET})
    with pytest.raises(ValueError, match="max_retries"):
        open_store(store, storage_options={"retry": {"max_retry": 1}})
    with pytest.raises(ValueError, match="read_timeout is timeout"):
        open_store(store, storage_options={"config_kwargs": {"read_timeout": 5, "retries": {"max_attempts": 3}}})
    with pytest.raises(TypeError, match="dict"):
        open_store(store, storage_options="anon")
    with pytest.raises(TypeError, match="'?retry"):
        open_store(store, storage_options={"retry": 3})
    with pytest.raises(TypeError, match="key") as caught:
        open_store(store, storage_options={"key": [SECRET]})
    assert SECRET not in str(caught.value)
    with pytest.raises(ValueError, match="timeout"):
        open_store(store, storage_options={"timeout": 0})


def test_options_of_a_local_path_are_an_error(data):
    with pytest.raises(ValueError, match="local"):
        StructuredDataset(data, storage_options={"key": "x"})


def authorization(store):
    return [{k.lower(): v for k, v in headers.items()}.get("authorization", "") for headers in store.headers]


def test_credentials_from_options_environment_or_none(store, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    open_store(store)
    assert all("AKIDTEST" in found for found in authorization(store))
    store.headers.clear()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.endpoint)
    StructuredDataset(store.url)
    assert all("AKIDENV" in found for found in authorization(store))
    store.headers.clear()
    StructuredDataset(store.url, storage_options={"anon": True})
    assert set(authorization(store)) == {""}


def test_keys_of_a_provider_are_asked_for_again_before_they_expire(store):
    calls = []

    def provider():
        calls.append(threading.get_ident())
        lives = 4 if store.latency and len(calls) == 1 else 600
        return {"access_key_id": f"AKID{len(calls)}", "secret_access_key": SECRET, "expires_at": time.time() + lives}

    options = {"endpoint_url": store.endpoint, "credential_provider": provider}
    dataset = StructuredDataset(store.url, batch_size=7, storage_options=options)
    assert len(calls) == 1
    list(dataset)
    assert len(calls) == 2, "an epoch has a client of its own"
    store.latency = 1.1  # a listing, a footer, and then the others: keys are renewed after two seconds
    del calls[:], store.headers[:]
    StructuredDataset(store.url + "/", batch_size=7, storage_options=options)
    assert len(calls) == 2
    assert "AKID1/" in authorization(store)[0]
    assert any("AKID2/" in found for found in authorization(store))
    store.latency = 0

    def broken():
        raise RuntimeError("the vault is closed")

    with pytest.raises(PermissionError, match="the vault is closed"):
        StructuredDataset(store.url, storage_options={**options, "credential_provider": broken})
    with pytest.raises(PermissionError, match="secret_access_key"):
        StructuredDataset(store.url, storage_options={**options, "credential_provider": dict})


def test_a_refusal_names_the_key_and_not_what_the_answer_repeats(store):
    token = "token+of/the+session=="
    store.faults = lambda request: Fault(403)
    store.words = f"<Token-0>{token}</Token-0>"

    def provider():
        return {"access_key_id": "AKIDLENT", "secret_access_key": SECRET, "session_token": token}

    options = {"endpoint_url": store.endpoint, "credential_provider": provider}
    with pytest.raises(PermissionError, match=r"credential_provider \(access key AKIDLENT\)") as caught:
        StructuredDataset(store.url + "/", storage_options=options)
    assert token not in str(caught.value)
    assert "***" in str(caught.value)


@pytest.mark.parametrize("status", [429, 503, 400])
def test_a_throttled_service_of_keys_is_asked_again_and_its_keys_are_renewed(store, tmp_path, monkeypatch, status):
    """Those of a container, which expire soon."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "token").write_text("token-of-the-pod")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{store.endpoint}/keys/of-the-pod")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    keys = {"AccessKeyId": "AKIDPOD", "SecretAccessKey": SECRET, "Token": "t", "Expiration": "2020-01-01T00:00:00Z"}
    store.objects["of-the-pod"] = json.dumps(keys).encode()
    asked = []

    def faults(request):
        if request.key == "of-the-pod":
            asked.append(request)
            return Fault(status) if len(asked) <= 2 else None
        return None

    store.faults, store.words = faults, "Throttling"
    options = {name: store.options[name] for name in ("endpoint_url", "timeout", "retry")}
    dataset = open_store(store, storage_options=options)
    planned = len(asked)
    assert sum(ids(dataset), []) == list(range(100))
    assert len(asked) > planned > 2
    assert sum("AKIDPOD/" in found for found in authorization(store)) > 5
    del store.objects["of-the-pod"]
    store.faults = lambda request: Fault(status) if request.key == "of-the-pod" else None
    options["retry"] = {**options["retry"], "max_retries": 2}
    with pytest.raises(OSError, match="failed 3 time") as caught:
        open_store(store, storage_options=options)
    assert SECRET not in str(caught.value)


def test_the_docs_way_to_read_a_profile(store, tmp_path, monkeypatch):
    page = (Path(__file__).parent.parent / "docs/stores.md").read_text()
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "boto3.Session" in block]
    file = tmp_path / "credentials"
    file.write_text(f"[training]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = {SECRET}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    names: dict = {}
    exec(code, names)
    options = {"endpoint_url": store.endpoint, "credential_provider": names["keys"]}
    assert sum(ids(StructuredDataset(store.url, batch_size=7, storage_options=options)), []) == list(range(100))
    assert all("AKIDPROFILE/" in found for found in authorization(store))


@pytest.mark.parametrize("status", [401, 403])
def test_who_was_denied_what_and_no_secret(store, status):
    store.faults = lambda request: Fault(status)
    with pytest.raises(PermissionError, match=rf'{status}.*AKIDTEST.*"{BUCKET}"') as caught:
        open_store(store)
    assert SECRET not in str(caught.value)
    assert store.count() == 1, "what is denied is not asked again"
    options = {"endpoint_url": store.endpoint, "anon": True}
    with pytest.raises(PermissionError, match="anonymous"):
        open_store(store, storage_options=options)


# Secrets


def test_secrets_are_nowhere_but_in_the_pickle(store, caplog):
    caplog.set_level(logging.DEBUG)
    dataset = open_store(store)
    loader = DataLoader(dataset)
    store.faults = lambda request: Fault(503) if request.number % 3 == 0 else None
    list(loader)
    shown = [
        repr(dataset),
        repr(loader),
        str(dataset),
        repr(vars(dataset)),
        repr(dataset._context.settings),
        caplog.text,
    ]
    shown += [
        json.dumps(loader.state_dict()),
        json.dumps(loader.get_metrics()),
        repr(dataset.plan),
        repr(dataset._context.settings.storage),
    ]
    assert "tried again" in caplog.text
    assert not [text for text in shown if SECRET in text]
    assert SECRET.encode() not in dataset.plan.to_bytes()
    pickled = pickle.dumps(dataset)
    assert SECRET.encode() in pickled, "workers need it"
    store.faults = lambda request: None
    dataset.set_epoch(0)
    assert ids(pickle.loads(pickled)) == ids(copy.deepcopy(dataset)) == ids(dataset)


def test_secrets_of_the_environment_stay_out_of_the_pickle(store, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    dataset = StructuredDataset(store.url, storage_options={"endpoint_url": store.endpoint})
    assert SECRET.encode() not in pickle.dumps(dataset)
    assert len(list(dataset)) == 1


# The log


def test_slow_requests_and_retries_are_logged(store, caplog):
    caplog.set_level(logging.INFO, "shardline")
    options = {**store.options, "slow_request": 0.01}
    store.latency = 0.02
    store.faults = lambda request: Fault(500) if request.number == 1 else None
    open_store(store, storage_options=options)
    slow = [record for record in caplog.records if " took " in record.getMessage()]
    assert slow
    assert slow[0].levelname == "WARNING"
    assert "s3://bucket/data" in slow[0].getMessage()
    assert [
        record for record in caplog.records if "tried again" in record.getMessage() and "500" in record.getMessage()
    ]


def test_peeking_costs_little_and_two_readers_share_a_runtime(store):
    one, two = open_store(store), open_store(store, shuffle=True)
    first, second = iter(one), iter(two)
    found = [take(first, 2), take(second, 2)]
    assert sorted(sum(found[1] + ids(second), [])) == list(range(100))
    assert found[0] + ids(first) == ids(open_store(store))

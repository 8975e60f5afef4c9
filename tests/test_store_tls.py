"""Stores over TLS: what is read, and certificates that are not to be trusted: an error at once, with the cure."""

from datetime import UTC, datetime, timedelta

import pytest
from support import ids
from support.certificates import Authority
from support.store import Store, open_store

import shardline


@pytest.fixture
def authority(tmp_path, monkeypatch):
    """Trusted, and no other is."""
    found = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(found.file))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    return found


def test_rows_are_read(hundred, authority):
    with Store(hundred, tls=authority.server()) as store:
        wanted = ids(shardline.StructuredDataset(hundred, batch_size=7))
        assert store.options["endpoint_url"].startswith("https://")
        assert ids(open_store(store)) == wanted
        options = {name: store.options[name] for name in ("timeout", "retry")}
        assert ids(open_store(store, store.http_urls, storage_options=options)) == wanted
        assert store.count() > 0


@pytest.mark.parametrize(
    ("host", "age", "said"),
    [
        ("another.example", timedelta(), "name"),
        ("localhost", timedelta(days=30), "expired"),
        ("localhost", timedelta(days=-30), "not valid yet"),
    ],
)
def test_a_certificate_that_is_not_valid(hundred, authority, host, age, said):
    with Store(hundred, tls=authority.server(host, datetime.now(UTC) - age)) as store:
        with pytest.raises(OSError, match=rf"certificate is not valid \(.*{said}") as error:
            open_store(store)
        assert "SSL_CERT_FILE" in str(error.value)
        assert "clock" in str(error.value)
        assert store.count() == 0
        assert store.connections == 1, "it was tried again"


def test_an_authority_that_is_not_trusted(hundred, tmp_path, authority):
    (tmp_path / "other").mkdir()
    with Store(hundred, tls=Authority(tmp_path / "other").server()) as store:
        with pytest.raises(OSError, match="certificate is not valid .*SSL_CERT_FILE"):
            open_store(store)
        assert store.count() == 0
        assert store.connections == 1
        told = {**store.options, "allow_invalid_certificates": True}
        assert len(sum(ids(open_store(store, storage_options=told)), [])) == 100


def test_a_server_without_tls(hundred, authority):
    with Store(hundred) as store:
        there = store.options["endpoint_url"].replace("http://127.0.0.1", "https://localhost")
        with pytest.raises(OSError, match="does not answer in TLS.*http://"):
            open_store(store, storage_options={**store.options, "endpoint_url": there})
        assert store.connections == 1

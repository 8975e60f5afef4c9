//! The `object_store` of a location and its options, and the identity that it uses, for messages.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;
use object_store::{ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};

use super::connect::Connector;
use super::scrub::Secrets;
use super::{Location, Options, Scheme, credentials, tls};
use crate::{Error, Result};

/// What a client is made of.
pub(super) struct Built {
    pub(super) store: Arc<dyn ObjectStore>,
    /// The same, to be listed page by page; None of a web server.
    pub(super) pages: Option<Arc<dyn PaginatedListStore>>,
    /// The same, to be written in parts; None of a web server.
    pub(super) parts: Option<Arc<dyn MultipartStore>>,
    /// Who asks: in words for a message, without a secret.
    pub(super) identity: String,
    pub(super) secrets: Secrets,
}

pub(super) fn build(location: &Location, options: &Options) -> Result<Built> {
    tls::choose();
    let mut secrets = Secrets::default();
    for (name, value) in &options.pairs {
        let public = [
            "access_key_id",
            "aws_access_key_id",
            "account_name",
            "client_id",
            "tenant_id",
            "federated_token_file",
            "web_identity_token_file",
        ];
        let telling = ["secret", "token", "key", "sas", "password", "proxy_url"];
        if !public.contains(&name.as_str()) && telling.iter().any(|word| name.contains(word)) {
            secrets.add(value);
        }
    }
    for value in options.headers.values() {
        secrets.add(value);
        // `Bearer token`, `name=value; name=value`: a store may repeat the part that counts.
        value.split_once(' ').iter().for_each(|(_, token)| secrets.add(token));
        value.split(';').filter_map(|cookie| cookie.split_once('=')).for_each(|(_, value)| secrets.add(value));
    }
    let mut built = match location.scheme {
        Scheme::S3 => s3(location, options, secrets),
        Scheme::Gcs => gcs(location, options, secrets),
        Scheme::Azure => azure(location, options, secrets),
        Scheme::Http => web(location, options, secrets),
    }?;
    if options.keys.is_some() {
        built.identity = "the keys of credential_provider".to_owned();
    }
    Ok(built)
}

/// No request is cut off because all of it takes long: one that gives nothing for `timeout` is. The client looks to
/// that itself, a little sooner and with better words, but not where keys are asked for.
fn limits(options: &Options) -> [(ClientConfigKey, String); 2] {
    let silence = options.tuning.timeout.as_millis() * 11 / 10 + 20;
    [(ClientConfigKey::Timeout, "1d".to_owned()), (ClientConfigKey::ReadTimeout, format!("{silence}ms"))]
}

/// Every try is made by the client here, which sees more: none by `object_store`.
fn once() -> RetryConfig {
    RetryConfig { max_retries: 0, retry_timeout: Duration::from_secs(60), ..RetryConfig::default() }
}

fn failed<'a>(location: &'a Location, secrets: &'a Secrets) -> impl Fn(object_store::Error) -> Error + 'a {
    |error| {
        let said = secrets.scrub(&error.to_string());
        Error::Argument(format!("{}: this store cannot be set up: {said}; see storage_options", location.base))
    }
}

fn is_plain(endpoint: Option<&String>) -> bool {
    endpoint.is_some_and(|endpoint| endpoint.trim().to_ascii_lowercase().starts_with("http://"))
}

fn s3(location: &Location, options: &Options, mut secrets: Secrets) -> Result<Built> {
    // Object by object: not every server that speaks like S3 knows how to delete many at once.
    let mut builder = AmazonS3Builder::from_env().with_url(&location.base).with_disable_bulk_delete(true);
    for (key, value) in limits(options) {
        builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
    }
    for (name, value) in &options.pairs {
        if let Ok(key) = name.parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    let get = |builder: &AmazonS3Builder, key| builder.get_config_value(&key);
    let endpoint = get(&builder, AmazonS3ConfigKey::S3Endpoint).or_else(|| get(&builder, AmazonS3ConfigKey::Endpoint));
    if is_plain(endpoint.as_ref()) && !options.pairs.keys().any(|name| name.ends_with("allow_http")) {
        builder = builder.with_allow_http(true);
    }
    for key in [AmazonS3ConfigKey::SecretAccessKey, AmazonS3ConfigKey::Token] {
        get(&builder, key).iter().for_each(|secret| secrets.add(secret));
    }
    let anonymous = get(&builder, AmazonS3ConfigKey::SkipSignature).is_some_and(|value| value == "true");
    let identity = match get(&builder, AmazonS3ConfigKey::AccessKeyId) {
        _ if anonymous => "nobody (anonymous)".to_owned(),
        Some(id) => format!("access key {id}"),
        None if get(&builder, AmazonS3ConfigKey::WebIdentityTokenFile).is_some() => "a web identity".to_owned(),
        None => "the credentials of this container or instance".to_owned(),
    };
    if let Some(source) = &options.keys {
        builder = builder.with_credentials(credentials::aws(Arc::clone(source)));
    }
    let store =
        builder.with_retry(once()).with_http_connector(Connector).build().map_err(failed(location, &secrets))?;
    let store = Arc::new(store);
    let (pages, parts) = (Some(Arc::clone(&store) as Arc<dyn PaginatedListStore>), Some(Arc::clone(&store) as _));
    Ok(Built { pages, parts, store, identity, secrets })
}

fn gcs(location: &Location, options: &Options, mut secrets: Secrets) -> Result<Built> {
    let mut builder = GoogleCloudStorageBuilder::from_env().with_url(&location.base);
    for (key, value) in limits(options) {
        builder = builder.with_config(GoogleConfigKey::Client(key), value);
    }
    for (name, value) in &options.pairs {
        if let Ok(key) = name.parse::<GoogleConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    let get = |builder: &GoogleCloudStorageBuilder, key| builder.get_config_value(&key);
    for key in [GoogleConfigKey::ServiceAccountKey, GoogleConfigKey::BearerToken] {
        get(&builder, key).iter().for_each(|secret| secrets.add(secret));
    }
    let anonymous = get(&builder, GoogleConfigKey::SkipSignature).is_some_and(|value| value == "true");
    let account = get(&builder, GoogleConfigKey::ServiceAccount);
    let explicit = [GoogleConfigKey::ServiceAccountKey, GoogleConfigKey::BearerToken];
    let explicit = options.keys.is_some() || explicit.into_iter().any(|key| get(&builder, key).is_some());
    let default = get(&builder, GoogleConfigKey::ApplicationCredentials).filter(|_| !explicit);
    let file = account.or(default);
    if let Some(path) = &file
        && !Path::new(path).exists()
    {
        // It may be a secret that was given by a wrong name: it is not shown.
        return Err(Error::Argument(format!(
            "{}: token, service_account and GOOGLE_APPLICATION_CREDENTIALS are the path of an account's file, and there is no \
             file of the path given; a bearer token is bearer_token, the JSON of a key as service_account_key",
            location.base
        )));
    }
    let identity = match file {
        _ if anonymous => "nobody (anonymous)".to_owned(),
        Some(path) => format!("the account in {path}"),
        None => "the default credentials of this machine".to_owned(),
    };
    if let Some(source) = &options.keys {
        builder = builder.with_credentials(credentials::gcp(Arc::clone(source)));
    }
    let store =
        builder.with_retry(once()).with_http_connector(Connector).build().map_err(failed(location, &secrets))?;
    let store = Arc::new(store);
    let (pages, parts) = (Some(Arc::clone(&store) as Arc<dyn PaginatedListStore>), Some(Arc::clone(&store) as _));
    Ok(Built { pages, parts, store, identity, secrets })
}

fn azure(location: &Location, options: &Options, mut secrets: Secrets) -> Result<Built> {
    let mut builder = MicrosoftAzureBuilder::from_env().with_url(&location.base);
    for (key, value) in limits(options) {
        builder = builder.with_config(AzureConfigKey::Client(key), value);
    }
    for (name, value) in &options.pairs {
        if let Ok(key) = name.parse::<AzureConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    let get = |builder: &MicrosoftAzureBuilder, key| builder.get_config_value(&key);
    let endpoint = get(&builder, AzureConfigKey::Endpoint);
    let emulated = get(&builder, AzureConfigKey::UseEmulator).is_some_and(|value| value == "true");
    if (emulated || is_plain(endpoint.as_ref())) && !options.pairs.keys().any(|name| name.ends_with("allow_http")) {
        builder = builder.with_config(AzureConfigKey::Client(ClientConfigKey::AllowHttp), "true");
    }
    for key in [AzureConfigKey::AccessKey, AzureConfigKey::SasKey, AzureConfigKey::ClientSecret, AzureConfigKey::Token]
    {
        get(&builder, key).iter().for_each(|secret| secrets.add(secret));
    }
    let anonymous = get(&builder, AzureConfigKey::SkipSignature).is_some_and(|value| value == "true");
    let account = get(&builder, AzureConfigKey::AccountName);
    let client = get(&builder, AzureConfigKey::ClientId);
    let identity = match (account, client) {
        _ if anonymous => "nobody (anonymous)".to_owned(),
        (_, Some(client)) => format!("client {client}"),
        (Some(account), None) => format!("account {account}"),
        (None, None) => "the default credentials of this machine".to_owned(),
    };
    if let Some(source) = &options.keys {
        builder = builder.with_credentials(credentials::azure(Arc::clone(source)));
    }
    let store =
        builder.with_retry(once()).with_http_connector(Connector).build().map_err(failed(location, &secrets))?;
    let store = Arc::new(store);
    let (pages, parts) = (Some(Arc::clone(&store) as Arc<dyn PaginatedListStore>), Some(Arc::clone(&store) as _));
    Ok(Built { pages, parts, store, identity, secrets })
}

fn web(location: &Location, options: &Options, secrets: Secrets) -> Result<Built> {
    let mut client = ClientOptions::new().with_allow_http(true);
    for (key, value) in limits(options) {
        client = client.with_config(key, value);
    }
    for (name, value) in &options.pairs {
        if let Ok(key) = name.parse::<ClientConfigKey>() {
            client = client.with_config(key, value);
        }
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &options.headers {
        let bad = || Error::Argument(format!("storage_options: the header {name:?} is not one that HTTP can carry"));
        let mut value = HeaderValue::from_str(value).map_err(|_| bad())?;
        value.set_sensitive(true);
        headers.insert(name.parse::<HeaderName>().map_err(|_| bad())?, value);
    }
    if !headers.is_empty() {
        client = client.with_default_headers(headers);
    }
    let identity = if options.headers.is_empty() { "nobody (no headers)" } else { "the headers of storage_options" };
    let store = HttpBuilder::new()
        .with_url(&location.base)
        .with_client_options(client)
        .with_retry(once())
        .with_http_connector(Connector);
    let store = store.build().map_err(failed(location, &secrets))?;
    Ok(Built { store: Arc::new(store), pages: None, parts: None, identity: identity.to_owned(), secrets })
}

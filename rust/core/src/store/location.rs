//! The location of an object: a parsed URL of a store.

use super::Scheme;
use crate::{Error, Result};

/// A place in a store: a bucket, container or host, and a key in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Which kind of store.
    pub scheme: Scheme,
    /// `s3://bucket`, `https://host:port`: what has one client.
    pub base: String,
    /// The key, as the store has it (not percent-encoded), without slashes around it.
    pub key: String,
    /// Whether a slash ended it: a prefix then, and no object.
    pub is_prefix: bool,
}

/// Whether a path names a store rather than this machine.
pub fn is_remote(path: &str) -> bool {
    scheme_of(path).is_some()
}

fn scheme_of(path: &str) -> Option<(Scheme, &str)> {
    let (scheme, rest) = path.split_once("://")?;
    let found = match scheme.to_ascii_lowercase().as_str() {
        "s3" | "s3a" => Scheme::S3,
        "gs" | "gcs" => Scheme::Gcs,
        "az" | "azure" | "adl" | "abfs" | "abfss" => Scheme::Azure,
        "http" | "https" => Scheme::Http,
        _ => return None,
    };
    Some((found, rest))
}

impl Location {
    /// Takes a URL apart that a person wrote. In those of `http(s)` the path is percent-encoded, in others it is the
    /// key itself.
    pub fn parse(url: &str) -> Result<Self> {
        let Some((scheme, rest)) = scheme_of(url) else {
            return Err(Error::Argument(format!(
                "{url}: no URL of a store; give s3://, gs://, az://, abfss:// or https://"
            )));
        };
        let prefix = url.split("://").next().unwrap_or_default().to_ascii_lowercase();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let shown =
            |why: &str| Error::Argument(format!("{prefix}://{}: {why}", authority.rsplit('@').next().unwrap_or("")));
        if authority.is_empty() {
            return Err(shown("the URL names no bucket, container or host; it looks like s3://bucket/prefix"));
        }
        if scheme != Scheme::Azure && authority.contains('@') {
            return Err(shown("a URL must hold no user or password; give them by storage_options"));
        }
        if scheme == Scheme::Http && path.contains(['?', '#']) {
            let why =
                "a URL must have no query or fragment (signed URLs are not supported); give headers by storage_options";
            return Err(shown(why));
        }
        let prefix = match prefix.as_str() {
            "s3a" => "s3",
            "gcs" => "gs",
            "azure" | "adl" => "az",
            other => other,
        };
        let key = match scheme {
            Scheme::Http => {
                super::decode_percent(path).ok_or_else(|| shown("its path is not percent-encoded UTF-8"))?
            }
            _ => path.to_owned(),
        };
        Self::new(scheme, format!("{prefix}://{authority}"), &key)
    }

    /// The place of a name that a plan holds: [`url`](Self::url) undone, nothing decoded.
    pub fn of(name: &str) -> Result<Self> {
        let Some((scheme, rest)) = scheme_of(name) else {
            return Err(Error::internal(format!("{name} is no place in a store")));
        };
        let (authority, key) = rest.split_once('/').unwrap_or((rest, ""));
        let base = &name[..name.len() - rest.len() + authority.len()];
        Self::new(scheme, base.to_owned(), key)
    }

    fn new(scheme: Scheme, base: String, key: &str) -> Result<Self> {
        let is_prefix = key.is_empty() || key.ends_with('/');
        let key = key.trim_matches('/').to_owned();
        if key.split('/').any(|part| matches!(part, "." | ".."))
            || key.contains("//")
            || key.contains(|c: char| c.is_control())
        {
            return Err(Error::Argument(format!(
                "{base}/{key}: a key with an empty part, . or .., or a control character, which shardline does not read"
            )));
        }
        Ok(Self { scheme, base, key, is_prefix })
    }

    /// The whole as text, the key not encoded.
    pub fn url(&self) -> String {
        if self.key.is_empty() { self.base.clone() } else { format!("{}/{}", self.base, self.key) }
    }

    /// The bucket, container or host.
    pub fn bucket(&self) -> &str {
        self.base.split_once("://").map_or("", |(_, authority)| authority)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (url, base, key, is_prefix) in [
            ("s3://b", "s3://b", "", true),
            ("s3a://b/x/y.parquet", "s3://b", "x/y.parquet", false),
            ("gcs://b/x%20 y/", "gs://b", "x%20 y", true),
            ("az://c/x", "az://c", "x", false),
            ("abfss://c@account.dfs.core.windows.net/x", "abfss://c@account.dfs.core.windows.net", "x", false),
            ("HTTPS://h:81/a%20b.parquet", "https://h:81", "a b.parquet", false),
            ("s3://b/a?b[c]*", "s3://b", "a?b[c]*", false),
        ] {
            let found = Location::parse(url).unwrap();
            assert_eq!((found.base.as_str(), found.key.as_str(), found.is_prefix), (base, key, is_prefix), "{url}");
            let again = Location::of(&found.url()).unwrap();
            assert_eq!((again.base, again.key), (found.base, found.key));
        }
        assert!(!is_remote("/a") && !is_remote("file:///a") && !is_remote("hdfs://a") && is_remote("S3://a"));
    }

    #[test]
    fn what_cannot_be_read_is_said_without_secrets() {
        for url in [
            "https://user:hunter2@h/x",
            "https://h/x?sig=hunter2",
            "s3://key:hunter2@b/x",
            "s3://",
            "s3://b/a//b",
            "s3://b/..",
        ] {
            let error = Location::parse(url).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_place_or_an_error(text in any::<String>()) {
            for scheme in ["s3", "https", "az"] {
                let _ = Location::parse(&format!("{scheme}://{text}"));
            }
        }
    }
}

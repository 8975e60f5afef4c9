//! What goes wrong between a client and its store: which fault it is, and how it is said.

use super::client::Client;
use super::connect::Attempt;
use super::retry::Fault;
use super::{Scheme, Stamp, tls};
use crate::Error;

/// Said of a server that does not do what reading by position needs.
const RANGES: &str =
    "the server ignores the range of a request and sends the whole object; shardline needs one that knows ranges";

impl Client {
    /// What an error of `object_store` means.
    pub(super) fn fault(&self, url: &str, error: &object_store::Error, attempt: &Attempt) -> Fault {
        let said = self.said(error, attempt);
        let denied = |why: &str| {
            let identity = match attempt.key_id().filter(|id| !self.identity.contains(id.as_str())) {
                Some(id) => format!("{} (access key {id})", self.identity),
                None => self.identity.clone(),
            };
            let detail = format!(
                "{why} to {identity} in {} {:?} ({said}); check the credentials (environment or storage_options), the bucket's \
                 policy and its region",
                self.container(),
                self.bucket
            );
            Fault::Final(Error::Denied { path: url.to_owned(), detail })
        };
        if let Some(why) = tls::fault(error) {
            return Fault::Final(self.io(url, &why));
        }
        match (error, attempt.status()) {
            (object_store::Error::NotFound { .. }, _) => Fault::Final(Error::NotFound { path: url.to_owned() }),
            // A listing's error has no kind.
            (object_store::Error::PermissionDenied { .. }, _) | (_, 403) => denied("access was denied (403)"),
            (_, 401) => denied("access was denied (401)"),
            (object_store::Error::Unauthenticated { .. }, _) => denied("no access without keys"),
            (object_store::Error::Precondition { .. }, _) | (_, 416) => Fault::Final(Error::Changed {
                path: url.to_owned(),
                detail: format!("the object changed since the plan was made ({said}); restore it, or plan anew"),
            }),
            (object_store::Error::NotSupported { .. }, 200) => Fault::Final(self.io(url, RANGES)),
            (_, 200) if said.contains("non-partial") => Fault::Final(self.io(url, RANGES)),
            (_, 206) if said.contains("Requested") => Fault::Final(Error::Changed {
                path: url.to_owned(),
                detail: format!("the object's size changed since the plan was made ({said}); restore it, or plan anew"),
            }),
            (_, status @ (301 | 302 | 307 | 308)) => Fault::Final(
                self.io(url, &format!("the store answered with a redirection ({status}): is region= right?")),
            ),
            (object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }, _) => {
                Fault::Final(self.io(url, &said))
            }
            // The service that hands out keys has no status of its own for it.
            (_, status @ 400) if said.contains("Throttling") => {
                Fault::Again(format!("the store answered {status}: {said}"))
            }
            (_, status @ (408 | 425 | 429)) => Fault::Again(format!("the store answered {status}: {said}")),
            (_, status @ 400..500) => Fault::Final(self.io(url, &format!("the store answered {status}: {said}"))),
            (_, status @ 500..) => Fault::Again(format!("the store answered {status}: {said}")),
            (_, 0) if is_unreachable(error) => Fault::Unreachable(said),
            // No answer, or one that broke off.
            _ => Fault::Again(said),
        }
    }

    pub(super) fn io(&self, url: &str, message: &str) -> Error {
        Error::Io { path: url.to_owned(), kind: std::io::ErrorKind::Other, message: message.to_owned() }
    }

    pub(super) fn container(&self) -> &'static str {
        match self.scheme {
            Scheme::S3 | Scheme::Gcs => "bucket",
            Scheme::Azure => "container",
            Scheme::Http => "host",
        }
    }

    /// The innermost words of an error: those around it repeat the request, and each other.
    pub(super) fn said(&self, error: &(dyn std::error::Error + 'static), attempt: &Attempt) -> String {
        let clean = attempt.scrub(&self.secrets.scrub(&innermost(error).to_string()));
        let mut said: String = clean.split_whitespace().collect::<Vec<_>>().join(" ");
        if said.len() > 300 {
            let end = (0..=300).rev().find(|&at| said.is_char_boundary(at)).unwrap_or(0);
            said.truncate(end);
            said.push('…');
        }
        said
    }
}

/// What an error came from first.
fn innermost<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    error.source().map_or(error, innermost)
}

/// Whether nobody answers under this name and port, which waiting seldom changes.
fn is_unreachable(error: &(dyn std::error::Error + 'static)) -> bool {
    let innermost = innermost(error);
    let refused = innermost.downcast_ref::<std::io::Error>().is_some_and(|error| {
        use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
        matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
    });
    // The resolver's errors have no kind.
    refused || innermost.to_string().contains("failed to lookup address")
}

/// An object that is not the one that was planned.
pub(super) fn changed(url: &str, planned: &Stamp, found: &Stamp) -> Error {
    let what = planned.difference(found);
    Error::Changed {
        path: url.to_owned(),
        detail: format!("{what} since the plan was made; restore the object, or plan anew and start the epoch again"),
    }
}

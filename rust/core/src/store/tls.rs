//! Encrypted connections: what does the cryptography, and what keeps one from being made however often it is tried.

use std::error::Error as StdError;
use std::io;

use rustls::{Error as TlsError, InvalidMessage};

/// Has TLS done by `ring`: the other that rustls knows, aws-lc, takes minutes to compile.
pub(super) fn choose() {
    // An error says that one was chosen before, by an earlier call.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Why no other try will connect, in words, if that is so: a certificate that is not trusted stays so.
pub(super) fn fault(error: &(dyn StdError + 'static)) -> Option<String> {
    match cause(error)? {
        TlsError::InvalidCertificate(why) => Some(format!(
            "the server's certificate is not valid ({why}); if an authority of your own signed it, name a file with that \
             authority's certificate in the environment variable SSL_CERT_FILE; if it is out of date, check this machine's \
             clock; storage_options={{\"allow_invalid_certificates\": true}} connects whoever the server is"
        )),
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => {
            Some("the server does not answer in TLS; if it speaks plain HTTP, say http://".to_owned())
        }
        _ => None,
    }
}

/// The error of TLS that an error came from.
fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a TlsError> {
    // What an I/O error wraps is not its source.
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error
        .downcast_ref()
        .or_else(|| wrapped.and_then(|wrapped| cause(wrapped)))
        .or_else(|| error.source().and_then(cause))
}

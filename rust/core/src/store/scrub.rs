//! Secrets removed from messages: those of other libraries may contain a signed URL, or a header.

/// The secrets of one client, as they could stand in a message.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Vec<String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Shorter ones would take words apart, and are no secrets.
const SHORTEST: usize = 4;

impl Secrets {
    pub(crate) fn add(&mut self, secret: &str) {
        if secret.len() < SHORTEST {
            return;
        }
        self.0.push(secret.to_owned());
        let encoded: String = secret
            .bytes()
            .map(|b| {
                if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
                    char::from(b).to_string()
                } else {
                    format!("%{b:02X}")
                }
            })
            .collect();
        if encoded != secret {
            self.0.push(encoded);
        }
        // The longest first, so that none is left in part.
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// The text with every secret, and the query of every URL, blotted out.
    pub(crate) fn scrub(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            text = text.replace(secret.as_str(), "***");
        }
        let mut clean = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(at) = rest.find("://") {
            let (before, url) = rest.split_at(at + 3);
            clean.push_str(before);
            let end = url.find(|c: char| c.is_whitespace() || "\"'<>)".contains(c)).unwrap_or(url.len());
            let (url, after) = url.split_at(end);
            match url.split_once('?') {
                Some((place, _)) => {
                    clean.push_str(place);
                    clean.push_str("?***");
                }
                None => clean.push_str(url),
            }
            rest = after;
        }
        clean.push_str(rest);
        clean
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_and_queries_go_and_the_rest_stays() {
        let mut secrets = Secrets::default();
        secrets.add("hunter2/x");
        let text = "GET https://h/a?sig=1&se=2 failed (key hunter2/x or hunter2%2Fx), try http://i/b";
        assert_eq!(secrets.scrub(text), "GET https://h/a?*** failed (key *** or ***), try http://i/b");
        assert!(!format!("{secrets:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn no_secret_is_left(a in "[a-z/+=?:&]{4,9}", b in "[a-z/+]{4,9}", text in "[a-z ?:/]{0,20}") {
            let mut secrets = Secrets::default();
            secrets.add(&a);
            secrets.add(&b);
            let scrubbed = secrets.scrub(&format!("{text}{a} https://h/{b}?{a}{text}{b}"));
            prop_assert!(!scrubbed.contains(&a) && !scrubbed.contains(&b), "{}", scrubbed);
        }
    }
}

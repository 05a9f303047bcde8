//! What must never be shown: names that promise a secret, and values that look like one.
//!
//! A secret never stands in the configuration, but people put one there by mistake, and the message
//! about that mistake ends up in a log. So a value is shown only after it passed [`show`].

/// What stands in the place of a hidden value.
pub const HIDDEN: &str = "(hidden)";

/// Longer values are cut to this many characters.
const LONGEST: usize = 120;

/// Words that make the name of a key or variable one that promises a secret.
const NAMES: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "key",
    "keys",
    "pem",
    "sas",
    "connectionstring",
    "jwt",
];

/// Marks of a secret inside a value: connection strings, PEM blocks, tokens.
const MARKS: [&str; 8] = [
    "accountkey=",
    "sharedaccesskey",
    "sharedaccesssignature",
    "password=",
    "secret=",
    "sig=",
    "-----begin",
    "bearer ",
];

/// The value as it may be shown, cut to a readable length.
///
/// `name` is the key or variable it belongs to; `known` says that the name is one of ours, none of
/// which holds a secret itself (`event.partition_key`, `cosmos.auth.key_file`).
pub fn show(name: &str, known: bool, value: &str) -> String {
    if (!known && names_a_secret(name)) || looks_secret(value) {
        return HIDDEN.to_owned();
    }
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}

/// Whether a key or variable of this name is likely to hold a secret.
pub fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let joined = words.windows(2).any(|pair| pair == ["connection", "string"]);
    joined
        || words
            .iter()
            .any(|word| NAMES.contains(word) || word.contains("password") || word.contains("secret"))
}

/// Whether a value looks like a secret wherever it stands.
pub fn looks_secret(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    MARKS.iter().any(|mark| lower.contains(mark))
        || lower.split(|c: char| c.is_ascii_whitespace() || c == ',').any(has_user_and_password)
        || value.split(|c: char| c.is_ascii_whitespace() || matches!(c, ',' | '"' | '\'')).any(is_opaque)
}

/// `scheme://user:password@host`
fn has_user_and_password(word: &str) -> bool {
    word.split_once("://")
        .and_then(|(_, rest)| rest.split_once('@'))
        .is_some_and(|(user, _)| user.contains(':') && !user.contains('/'))
}

/// A web token, or a long run of base64 or hex such as an account key.
fn is_opaque(word: &str) -> bool {
    const SHORTEST: usize = 40;
    let is_jwt = word.starts_with("eyJ") && word.len() > 20;
    let body = word.trim_end_matches('=');
    let is_base64 = body.len() >= SHORTEST
        && body.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
        && body.bytes().any(|b| b.is_ascii_digit())
        && body.bytes().any(|b| b.is_ascii_alphabetic())
        // No path ends with the padding of base64.
        && (!word.starts_with('/') || word.ends_with('='));
    is_jwt || is_base64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn names_that_promise_a_secret_hide_their_value() {
        for name in [
            "kafka.auth.password",
            "cosmos.auth.key",
            "kafka.properties.ssl.key.pem",
            "kafka.properties.sasl.oauthbearer.client.secret",
            "AZURE_COSMOS_CONNECTION_STRING",
            "AZURE_COSMOS_KEY",
            "STREAMPROC__KAFKA__AUTH__SASLPASSWORD",
        ] {
            assert_eq!(show(name, false, "x"), HIDDEN, "{name}");
        }
    }

    #[test]
    fn our_own_keys_are_shown_although_their_names_hold_the_word() {
        assert_eq!(show("event.partition_key", true, "deviceId"), "\"deviceId\"");
        assert_eq!(show("cosmos.auth.key_file", true, "/etc/key"), "\"/etc/key\"");
    }

    #[test]
    fn values_that_look_like_a_secret_are_hidden_wherever_they_stand() {
        let long = "a1".repeat(32);
        for value in [
            format!("AccountEndpoint=https://a.documents.azure.com/;AccountKey={long};"),
            "Endpoint=sb://n.servicebus.windows.net/;SharedAccessKeyName=n".to_owned(),
            "https://user:word@host:443/".to_owned(),
            format!("{long}=="),
            format!("/{long}=="),
            format!("eyJ{long}.x.y"),
            ["-----BEGIN", "PRIVATE KEY-----"].join(" "),
        ] {
            assert_eq!(show("cosmos.endpoint", true, &value), HIDDEN, "{value}");
        }
    }

    #[test]
    fn ordinary_values_are_shown() {
        for value in [
            "localhost:9092",
            "https://account.documents.azure.com:443/",
            "West Europe",
            "/var/run/secrets/azure/tokens/azure-identity-token",
            "streaming-dead-letter",
            "my-cluster-kafka-bootstrap.kafka.svc.cluster.local:9093",
        ] {
            assert_eq!(show("x", true, value), format!("{value:?}"));
        }
    }
}

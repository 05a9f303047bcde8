//! The sandbox's account key, and the check of a request's signature.
//!
//! The emulator checks no key, the service does, so the sandbox does: a wrong key is answered with 401.
//! How a request is signed is described at
//! <https://learn.microsoft.com/rest/api/cosmos-db/access-control-on-cosmosdb-resources>.

use std::time::SystemTime;

use azure_core::credentials::Secret;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::call::Call;
use super::token::Tokens;

/// The key of every sandbox is the base64 of this sentence. It protects nothing: the sandbox listens
/// on this machine's own address alone and forgets everything when it stops.
pub const KEY_SENTENCE: &str = "streamproc sandbox: this key is public and it protects nothing";

/// The account key of every sandbox, as an SDK takes it.
pub fn public_key() -> String {
    azure_core::base64::encode(KEY_SENTENCE)
}

/// The sandbox's key when `endpoint` can only be a sandbox on this machine: plain `http` to a loopback
/// address. A client with `cosmos.auth.method = "key"` and no key of its own may use it there, so that
/// the local configuration needs no key file and works whether the sandbox is started before or after.
pub fn key_for(endpoint: &Url) -> Option<String> {
    let on_this_machine = match endpoint.host()? {
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
        Host::Domain(name) => name == "localhost",
    };
    (on_this_machine && endpoint.scheme() == "http").then(public_key)
}

/// Why a request was not let in, in the words of the service.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unauthorized(pub(super) String);

/// Lets a request in whose signature was made with `key` over its own method, resource and date, or
/// one with a token, where those are taken.
pub(super) fn check(call: &Call, key: &Secret, tokens: &Tokens) -> Result<(), Unauthorized> {
    let header = call.header("authorization").ok_or_else(|| {
        Unauthorized(
            "Required Header authorization is missing. Ensure a valid Authorization token is passed."
                .to_owned(),
        )
    })?;
    let token = percent_decode_str(header).decode_utf8_lossy();
    let field = |name: &str| token.split('&').find_map(|field| field.strip_prefix(name));
    if field("type=") == Some("aad") && tokens.are_taken() {
        return tokens.check(field("sig=").unwrap_or_default(), SystemTime::now());
    }
    if field("type=") != Some("master") {
        return Err(Unauthorized("The sandbox takes its account key only, no tokens.".to_owned()));
    }
    let signature = field("sig=").unwrap_or_default();
    let date = call.header("x-ms-date").unwrap_or_default().to_ascii_lowercase();
    let http_date = call.header("date").unwrap_or_default().to_ascii_lowercase();
    let method = call.method.as_str().to_ascii_lowercase();
    let (resource_type, links) = resource(&call.path);
    let mut expected = String::new();
    for link in links {
        // With x-ms-date the last field is empty, but Microsoft's Python SDK fills it when it also sends Date.
        for http_date in ["", http_date.as_str()] {
            expected = format!("{method}\n{resource_type}\n{link}\n{date}\n{http_date}\n");
            if azure_core::hmac::hmac_sha256(&expected, key).is_ok_and(|right| right == signature) {
                return Ok(());
            }
        }
    }
    Err(Unauthorized(format!(
        "The input authorization token can't serve the request. The wrong key is being used or the \
         expected payload is not built as per the protocol. Server used the following payload to sign: '{}'",
        expected.replace('\n', "\\n")
    )))
}

/// The type of the resource a path names, and the ways its link may be written in a signature: as it
/// stands in the path, decoded, or, for a path of resource ids, the last id in small letters.
fn resource(path: &str) -> (&str, [String; 3]) {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    // dbs/a/colls is the list of containers below dbs/a; dbs/a/colls/b is a container itself.
    let (resource_type, link) = match segments.as_slice() {
        [parent @ .., kind] if segments.len() % 2 == 1 => (*kind, parent.join("/")),
        [.., kind, _] => (*kind, segments.join("/")),
        _ => ("", String::new()),
    };
    let decoded = percent_decode_str(&link).decode_utf8_lossy().into_owned();
    let id = link.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    (resource_type, [link, decoded, id])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use axum::http::HeaderMap;
    use bytes::Bytes;

    use super::*;

    const DATE: &str = "Thu, 26 Nov 2026 10:00:00 GMT";

    /// A request for `path`, signed as an SDK signs `payload`.
    fn signed(path: &str, key: &str, payload: &str) -> Call {
        let signature = azure_core::hmac::hmac_sha256(payload, &Secret::new(key.to_owned())).unwrap();
        let token = format!("type=master&ver=1.0&sig={signature}");
        let token: String = url::form_urlencoded::byte_serialize(token.as_bytes()).collect();
        let mut headers = HeaderMap::new();
        headers.insert("authorization", token.parse().unwrap());
        headers.insert("x-ms-date", DATE.parse().unwrap());
        Call::new("GET".parse().unwrap(), path, None, headers, Bytes::new())
    }

    fn key() -> Secret {
        Secret::new(public_key())
    }

    #[test]
    fn a_request_signed_with_the_key_is_let_in() {
        let date = DATE.to_ascii_lowercase();
        for (path, resource_type, link) in [
            ("/", "", ""),
            ("/dbs", "dbs", ""),
            ("/dbs/streaming", "dbs", "dbs/streaming"),
            ("/dbs/streaming/colls/", "colls", "dbs/streaming"),
            ("/dbs/Streaming/colls/Raw", "colls", "dbs/Streaming/colls/Raw"),
            ("/dbs/streaming/colls/raw/docs", "docs", "dbs/streaming/colls/raw"),
            ("/dbs/streaming/colls/raw/docs/a%20b", "docs", "dbs/streaming/colls/raw/docs/a b"),
            ("/dbs/streaming/colls/raw/docs/a%20b", "docs", "dbs/streaming/colls/raw/docs/a%20b"),
            ("/dbs/AQAAAA==/colls/AQAAAIAAAAE=/docs", "docs", "aqaaaiaaaae="),
            ("/offers/Offer_1", "offers", "offer_1"),
        ] {
            let payload = format!("get\n{resource_type}\n{link}\n{date}\n\n");
            assert_eq!(
                check(&signed(path, &public_key(), &payload), &key(), &Tokens::default()),
                Ok(()),
                "{path} signed as {link}"
            );
        }
    }

    #[test]
    fn a_request_signed_with_another_key_or_for_another_document_is_not_let_in() {
        let date = DATE.to_ascii_lowercase();
        let payload = format!("get\ndocs\ndbs/a/colls/b/docs/1\n{date}\n\n");
        let other = azure_core::base64::encode("another sentence");
        assert!(
            check(&signed("/dbs/a/colls/b/docs/1", &other, &payload), &key(), &Tokens::default()).is_err()
        );
        assert!(
            check(&signed("/dbs/a/colls/b/docs/2", &public_key(), &payload), &key(), &Tokens::default())
                .is_err()
        );
    }

    #[test]
    fn a_request_without_a_signature_or_with_a_token_is_not_let_in() {
        let mut call = signed("/", &public_key(), "");
        call.headers.insert("authorization", "type%3Daad%26ver%3D1.0%26sig%3Dabc".parse().unwrap());
        assert!(check(&call, &key(), &Tokens::default()).is_err());
        call.headers.remove("authorization");
        assert!(check(&call, &key(), &Tokens::default()).is_err());
    }

    #[test]
    fn the_public_key_is_for_this_machine_alone() {
        for (endpoint, sandbox) in [
            ("http://127.0.0.1:8081/", true),
            ("http://localhost:8081/", true),
            ("http://[::1]:8081/", true),
            ("https://127.0.0.1:8081/", false),
            ("http://127.0.0.1.example.com/", false),
            ("http://10.0.0.1:8081/", false),
            ("https://account.documents.azure.com:443/", false),
        ] {
            assert_eq!(key_for(&endpoint.parse().unwrap()).is_some(), sandbox, "{endpoint}");
        }
    }
}

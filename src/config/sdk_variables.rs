//! The environment variables that change the Cosmos DB SDK's behaviour behind our back.
//!
//! Read from the sources of `azure_data_cosmos` and `azure_data_cosmos_driver` 1.0.0. `config`
//! shows those that are set. Those in [`REFUSED`] would break a promise or switch a certificate
//! check off, and are refused unless the endpoint is a loopback one, that is the sandbox.

use std::collections::BTreeMap;

use super::error::{ConfigError, Place, Problem};
use super::{check, secret};

/// What the SDK's variables begin with.
const PREFIX: &str = "AZURE_COSMOS_";

/// Further variables of the SDK.
const OTHERS: [&str; 1] = ["COSMOS_DISABLE_IMDS"];

/// A refused variable.
#[derive(Debug)]
pub struct RefusedVariable {
    /// The name.
    pub name: &'static str,
    /// Values that change nothing, in lower case.
    fine: &'static [&'static str],
    /// Why it is refused.
    pub reason: &'static str,
}

const FALSE: &[&str] = &["", "false", "0", "no", "off"];

/// The table. All others pass: timeouts, retries and pools are bounded by `cosmos.request_timeout`
/// and repeated by streamproc until they succeed; hedging concerns reads alone (its list of eligible
/// operations holds no write), so that one request a key stays one (P4).
pub const REFUSED: &[RefusedVariable] = &[
    RefusedVariable {
        name: "AZURE_COSMOS_EMULATOR_SERVER_CERT_VALIDATION_DISABLED",
        fine: FALSE,
        reason: "it switches the check of the server's certificate off (P9)",
    },
    RefusedVariable {
        name: "AZURE_COSMOS_EMULATOR_HOST",
        fine: &[""],
        reason: "it makes the SDK take that host for an emulator: plain HTTP, no certificate check (P9)",
    },
    RefusedVariable {
        name: "AZURE_COSMOS_CONTENT_RESPONSE_ON_WRITE",
        fine: &["", "false", "disabled"],
        reason: "every answer would carry the document back, memory that trigger.max_bytes does not count (P5)",
    },
    RefusedVariable {
        name: "AZURE_COSMOS_QUERYPLANINTEROP_DIR",
        fine: &[""],
        reason: "it makes the SDK load a foreign library into the process",
    },
];

/// The variables of the SDK that are set, their values as they may be shown.
pub(super) fn set(environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    environment
        .iter()
        .filter(|(name, _)| name.starts_with(PREFIX) || OTHERS.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), secret::show(name, false, value)))
        .collect()
}

/// Checks the variables against the endpoint.
pub(super) fn check(endpoint: &str, environment: &BTreeMap<String, String>) -> Vec<ConfigError> {
    if check::is_loopback(endpoint) {
        return Vec::new();
    }
    REFUSED
        .iter()
        .filter_map(|refused| {
            let value = environment.get(refused.name)?;
            let changes = !refused.fine.contains(&value.trim().to_ascii_lowercase().as_str());
            changes.then(|| ConfigError {
                problem: Problem::Refused,
                place: Place::Variable(refused.name.into()),
                key: String::new(),
                found: secret::show(refused.name, true, value),
                expected: format!("nothing: {}", refused.reason),
                action: format!("unset {}; only the sandbox on a loopback address takes it", refused.name),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const ACCOUNT: &str = "https://account.documents.azure.com:443/";

    fn one(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn a_refused_variable_is_refused_for_an_account_and_taken_for_the_sandbox() {
        for refused in REFUSED {
            let environment = one(refused.name, "true");
            assert_eq!(check(ACCOUNT, &environment).len(), 1, "{}", refused.name);
            assert!(check("http://127.0.0.1:8081/", &environment).is_empty(), "{}", refused.name);
        }
    }

    #[test]
    fn a_value_that_changes_nothing_is_taken() {
        for refused in REFUSED {
            for fine in refused.fine {
                assert!(check(ACCOUNT, &one(refused.name, fine)).is_empty(), "{}={fine}", refused.name);
            }
        }
    }

    #[test]
    fn a_key_in_a_variable_of_this_name_is_never_shown() {
        let shown = set(&one("AZURE_COSMOS_KEY", "x"));
        assert_eq!(shown["AZURE_COSMOS_KEY"], secret::HIDDEN);
        assert!(set(&one("HOME", "/root")).is_empty());
    }
}

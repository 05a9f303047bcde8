//! Reading the account's properties.
//!
//! Microsoft's client reads them too, but gives no way to ask which regions the account has, and whether it
//! writes in several; so the one request is made here, signed as the REST interface wants it
//! (learn.microsoft.com/rest/api/cosmos-db/access-control-on-cosmosdb-resources).

use std::time::{Duration, SystemTime};

use azure_data_cosmos_driver::models::{AccountReference, Credential};
use azure_data_cosmos_driver::options::Region;
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::answer::one_line;
use super::connection::ConnectError;
use crate::azure::with_causes;

const API_VERSION: &str = "2020-07-15";
const SCOPE: &str = "https://cosmos.azure.com/.default";
const PROXY_VARIABLE: &str = "AZURE_COSMOS_CONNECTION_POOL_IS_PROXY_ALLOWED";
const TIME_LIMIT: Duration = Duration::from_secs(8);

/// What of the account matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Properties {
    #[serde(default)]
    pub(super) enable_multiple_write_locations: bool,
    #[serde(default)]
    readable_locations: Vec<Location>,
}

#[derive(Debug, Deserialize)]
struct Location {
    name: String,
}

impl Properties {
    /// Which of these regions are none of the account's, and what it has instead. Microsoft's client
    /// passes over them without a word. (Each region can be read; some can be written as well.)
    pub(super) fn unknown_regions(&self, regions: &[String]) -> Option<String> {
        let present: Vec<_> = self.readable_locations.iter().map(|place| place.name.clone()).collect();
        let is_present = |name: &String| present.iter().any(|one| region(one) == region(name));
        let unknown: Vec<_> = regions.iter().filter(|name| !is_present(name)).map(String::as_str).collect();
        (!unknown.is_empty() && !present.is_empty())
            .then(|| format!("the account has no {}, it has {}", unknown.join(", "), present.join(", ")))
    }
}

/// A region whatever way its name is written: `West Europe` is `westeurope`.
fn region(name: &str) -> Region {
    Region::new(name.to_owned())
}

/// Why the account could not be read.
#[derive(Debug)]
pub(super) enum Problem {
    SignIn(String),
    Forbidden(String),
    Unreachable(String),
}

impl Problem {
    pub(super) fn of(self, endpoint: &Url) -> ConnectError {
        let endpoint = endpoint.to_string();
        match self {
            Self::SignIn(message) => ConnectError::SignIn { endpoint, message },
            Self::Forbidden(message) => ConnectError::Forbidden { endpoint, message },
            Self::Unreachable(message) => ConnectError::Unreachable { endpoint, message },
        }
    }
}

pub(super) async fn read(account: &AccountReference) -> Result<Properties, Problem> {
    let unreachable = |error: &reqwest::Error| Problem::Unreachable(one_line(&causes(error)));
    let date = httpdate(SystemTime::now());
    let authorization = authorization(account.auth(), &date).await?;
    let mut client = reqwest::Client::builder().timeout(TIME_LIMIT);
    if !proxies_are_allowed(std::env::var(PROXY_VARIABLE).ok().as_deref()) {
        client = client.no_proxy();
    }
    let client = client.build().map_err(|error| unreachable(&error))?;
    let response = client
        .get(account.endpoint().clone())
        .header("authorization", authorization)
        .header("x-ms-date", date)
        .header("x-ms-version", API_VERSION)
        .header("accept", "application/json")
        .send()
        .await
        .map_err(|error| unreachable(&error))?;
    let status = response.status().as_u16();
    let body = response.bytes().await.map_err(|error| unreachable(&error))?;
    let said = || format!("{status}: {}", one_line(&String::from_utf8_lossy(&body)));
    match status {
        200 => {}
        401 => return Err(Problem::SignIn(said())),
        403 => return Err(Problem::Forbidden(said())),
        _ => return Err(Problem::Unreachable(format!("it answers {}", said()))),
    }
    serde_json::from_slice(&body)
        .map_err(|error| Problem::Unreachable(format!("its properties are not what they should be: {error}")))
}

/// Microsoft's client, which does all the rest, takes no notice of proxies unless it is told to.
fn proxies_are_allowed(variable: Option<&str>) -> bool {
    variable.is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
}

async fn authorization(credential: &Credential, date: &str) -> Result<String, Problem> {
    let (kind, signature) = match credential {
        Credential::AccountKey(key) => {
            let text = format!("get\n\n\n{}\n\n", date.to_ascii_lowercase());
            let signature = azure_core::hmac::hmac_sha256(&text, key)
                .map_err(|_| Problem::SignIn("the account key is not base64".to_owned()))?;
            ("master", signature)
        }
        Credential::TokenCredential(credential) => {
            let token = tokio::time::timeout(TIME_LIMIT, credential.get_token(&[SCOPE], None))
                .await
                .map_err(|_| Problem::SignIn("no token within eight seconds".to_owned()))?
                .map_err(|error| Problem::SignIn(one_line(&with_causes(&error))))?;
            ("aad", token.token.secret().to_owned())
        }
    };
    Ok(byte_serialize(format!("type={kind}&ver=1.0&sig={signature}").as_bytes()).collect())
}

/// A time as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn httpdate(time: SystemTime) -> String {
    chrono::DateTime::<chrono::Utc>::from(time).format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// An error in our words and what caused it: "connection refused" stands among the causes.
fn causes(error: &reqwest::Error) -> String {
    let mut text = match error {
        error if error.is_timeout() => "no answer in time",
        error if error.is_connect() => "no connection",
        _ => "the request failed",
    }
    .to_owned();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_that_is_none_of_the_accounts_is_named_with_those_that_are() {
        let account = r#"{"id":"a","writableLocations":[{"name":"West Europe"}],"readableLocations":[
            {"name":"West Europe","databaseAccountEndpoint":"https://a-westeurope.documents.azure.com:443/"},
            {"name":"North Europe","databaseAccountEndpoint":"https://a-northeurope.documents.azure.com:443/"}]}"#;
        let account: Properties = serde_json::from_str(account).unwrap();
        let unknown = |regions: &[&str]| {
            account.unknown_regions(&regions.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(unknown(&["northeurope", "West Europe"]), None);
        let told = "the account has no West Europ, East US, it has West Europe, North Europe";
        assert_eq!(unknown(&["West Europ", "North Europe", "East US"]).as_deref(), Some(told));
        let silent: Properties = serde_json::from_str("{}").unwrap();
        assert_eq!(silent.unknown_regions(&["x".into()]), None);
        assert!(!silent.enable_multiple_write_locations);
    }

    #[test]
    fn proxies_are_for_those_who_ask_for_them() {
        let allowed = [Some("true"), Some("True "), Some("false"), Some(""), None].map(proxies_are_allowed);
        assert_eq!(allowed, [true, true, false, false, false]);
    }

    #[test]
    fn a_date_is_written_as_http_wants_it() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(httpdate(time), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}

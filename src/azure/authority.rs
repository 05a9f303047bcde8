//! `AZURE_AUTHORITY_HOST`: where tokens are asked for.
//!
//! `azure_identity` refuses an authority that does not speak HTTPS, and rightly so. One on this very
//! machine is the exception made here: a stand-in for Microsoft Entra ID in tests and in the sandbox
//! needs no certificate, and nothing leaves the machine.

use std::sync::Arc;

use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::http::{
    AsyncRawResponse, ClientOptions, HttpClient, Request, RetryOptions, Transport, Url, new_http_client,
};

/// The variable.
pub(super) const VARIABLE: &str = "AZURE_AUTHORITY_HOST";

/// The options of a credential that asks this authority, or the public one.
///
/// Nothing is repeated below [`super::TokenCache`], which knows how long it wants to wait.
pub(super) fn client_options(host: Option<&str>) -> ClientOptions {
    let mut options = ClientOptions { retry: RetryOptions::none(), ..ClientOptions::default() };
    let Some(host) = host.filter(|host| !host.is_empty()) else { return options };
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host = match local(host) {
        Some(url) => {
            let plain = PlainOnThisMachine { inner: new_http_client(None) };
            options.transport = Some(Transport::new(Arc::new(plain)));
            format!("https://{}", url.authority())
        }
        None => host.to_owned(),
    };
    options.cloud = Some(Arc::new(CloudConfiguration::Custom(cloud)));
    options
}

/// The host as a URL, when it speaks plain HTTP on this machine.
fn local(host: &str) -> Option<Url> {
    let url = Url::parse(host).ok()?;
    (url.scheme() == "http" && is_loopback(&url)).then_some(url)
}

fn is_loopback(url: &Url) -> bool {
    matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

/// Sends requests for this machine without TLS, and refuses all others.
#[derive(Debug)]
struct PlainOnThisMachine {
    inner: Arc<dyn HttpClient>,
}

#[async_trait::async_trait]
impl HttpClient for PlainOnThisMachine {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let mut request = request.clone();
        let url = request.url_mut();
        if !is_loopback(url) || url.set_scheme("http").is_err() {
            return Err(azure_core::Error::with_message(
                azure_core::error::ErrorKind::Credential,
                "tokens are asked for on this machine alone, for AZURE_AUTHORITY_HOST speaks plain HTTP",
            ));
        }
        self.inner.execute_request(&request).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        for host in ["http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9"] {
            assert!(client_options(Some(host)).transport.is_some(), "{host}");
        }
        for host in
            ["http://login.example.com", "https://127.0.0.1:9", "http://127.0.0.1.example.com", "nonsense"]
        {
            assert!(client_options(Some(host)).transport.is_none(), "{host}");
        }
        assert!(client_options(None).cloud.is_none() && client_options(Some("")).cloud.is_none());
    }
}

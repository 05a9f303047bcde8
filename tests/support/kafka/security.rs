//! Who may sign in to the brokers: one user, one client certificate, one issuer of tokens.

use std::fmt::Write;
use std::path::Path;

use uuid::Uuid;

use crate::support::certificates::{Authority, Issued};
use crate::support::tokens::Issuer;

/// The audience that the brokers demand of a token; its scope is this with `/.default`.
pub const AUDIENCE: &str = "https://streamproc.servicebus.test";

/// The credentials of a cluster, made anew for each.
#[derive(Debug)]
pub struct Security {
    /// The user of SCRAM-SHA-256, SCRAM-SHA-512 and PLAIN.
    pub username: String,
    /// Its password.
    pub password: String,
    /// Who has signed the brokers' certificates, and whose clients they let in.
    pub authority: Authority,
    /// A client certificate that the brokers take.
    pub client: Issued,
    /// Whose tokens they take.
    pub issuer: Issuer,
    broker: Issued,
    /// What the brokers show at [`Listener::Expired`](super::Listener::Expired).
    expired: Issued,
}

impl Security {
    /// New credentials, with their files in `dir`.
    pub(super) fn new(dir: &Path) -> Self {
        let authority = Authority::new(dir);
        Self {
            username: "streamproc".to_owned(),
            password: Uuid::new_v4().to_string(),
            client: authority.issue("client"),
            // For a name and for no address: whoever comes by the address meets somebody else.
            broker: authority.issue_for("broker", "DNS:localhost"),
            expired: authority.issue_expired("expired"),
            issuer: Issuer::new(dir),
            authority,
        }
    }

    /// The brokers' properties for the listeners `SASL`, `SASLTLS`, `EXPIRED` and `MTLS`.
    pub(super) fn properties(&self) -> String {
        let module = "org.apache.kafka.common.security";
        let (user, password) = (&self.username, &self.password);
        let mut properties = format!(
            "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER\n\
             sasl.oauthbearer.jwks.endpoint.url=file://{jwks}\n\
             sasl.oauthbearer.expected.audience={AUDIENCE}\n\
             ssl.keystore.type=PEM\n\
             ssl.keystore.location={broker}\n\
             ssl.truststore.type=PEM\n\
             ssl.truststore.location={ca}\n\
             listener.name.mtls.ssl.client.auth=required\n\
             listener.name.expired.ssl.keystore.location={expired}\n",
            jwks = self.issuer.jwks_file.display(),
            broker = self.broker.both.display(),
            expired = self.expired.both.display(),
            ca = self.authority.ca_file.display(),
        );
        for listener in ["sasl", "sasltls", "expired"] {
            let name = format!("listener.name.{listener}");
            // Writing to a String cannot fail.
            let _ = write!(
                properties,
                "{name}.plain.sasl.jaas.config={module}.plain.PlainLoginModule required user_{user}=\"{password}\";\n\
                 {name}.scram-sha-256.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
                 {name}.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
                 {name}.oauthbearer.sasl.jaas.config={module}.oauthbearer.OAuthBearerLoginModule required;\n\
                 {name}.oauthbearer.sasl.server.callback.handler.class={module}.oauthbearer.OAuthBearerValidatorCallbackHandler\n",
            );
        }
        properties
    }

    /// The users to write while the storage is formatted.
    pub(super) fn format_arguments(&self) -> Vec<String> {
        ["SCRAM-SHA-256", "SCRAM-SHA-512"]
            .into_iter()
            .flat_map(|hash| {
                let user = format!("{hash}=[name={},password={}]", self.username, self.password);
                ["--add-scram".to_owned(), user]
            })
            .collect()
    }

    /// Java refuses key files that no system property names.
    pub(super) fn jvm_flag(&self) -> String {
        format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://{}", self.issuer.jwks_file.display())
    }

    /// librdkafka's properties to sign in by SCRAM at [`Listener::Sasl`](super::Listener::Sasl).
    pub fn scram(&self) -> Vec<(&'static str, String)> {
        self.password_login("SASL_PLAINTEXT", "SCRAM-SHA-512")
    }

    /// The same by PLAIN.
    pub fn plain(&self) -> Vec<(&'static str, String)> {
        self.password_login("SASL_PLAINTEXT", "PLAIN")
    }

    /// By SCRAM over TLS, at [`Listener::SaslTls`](super::Listener::SaslTls).
    pub fn scram_over_tls(&self) -> Vec<(&'static str, String)> {
        let mut properties = self.password_login("SASL_SSL", "SCRAM-SHA-256");
        properties.push(("ssl.ca.location", self.authority.ca_file.display().to_string()));
        properties
    }

    /// By the client certificate, at [`Listener::Mtls`](super::Listener::Mtls).
    pub fn mtls(&self) -> Vec<(&'static str, String)> {
        vec![
            ("security.protocol", "SSL".to_owned()),
            ("ssl.ca.location", self.authority.ca_file.display().to_string()),
            ("ssl.certificate.location", self.client.certificate.display().to_string()),
            ("ssl.key.location", self.client.key.display().to_string()),
        ]
    }

    fn password_login(&self, protocol: &str, mechanism: &str) -> Vec<(&'static str, String)> {
        vec![
            ("security.protocol", protocol.to_owned()),
            ("sasl.mechanism", mechanism.to_owned()),
            ("sasl.username", self.username.clone()),
            ("sasl.password", self.password.clone()),
        ]
    }
}

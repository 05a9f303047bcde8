//! A broker that checks rights and lets no sign-in last, for tests of both; and services that sign in
//! to it.

#![allow(unreachable_pub, reason = "the tests of this binary share it")]

use std::sync::OnceLock;

use crate::support::kafka::{Cluster, Options};

/// Who has every right: the subject of the tokens, and a user that a test creates.
pub const TRUSTED: [&str; 2] = ["client", "rotating"];

/// How long a connection's sign-in lasts, in milliseconds.
const SIGN_IN_LASTS: &str = "5000";

/// The cluster. The user of its own [`Security`](crate::support::kafka::Security) may do nothing.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let authorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
        let options = Options::brokers(1)
            .with_sign_in()
            .property("authorizer.class.name", authorizer)
            .property("super.users", "User:ANONYMOUS")
            .property("connections.max.reauth.ms", SIGN_IN_LASTS);
        let cluster = Cluster::start(&options);
        let trusted = TRUSTED.map(|name| format!("User:{name}"));
        let mut arguments = vec!["--add", "--operation", "All", "--topic", "*", "--group", "*"];
        arguments.extend(trusted.iter().flat_map(|name| ["--allow-principal", name.as_str()]));
        cluster.tool(ACLS, &arguments);
        cluster
    })
}

/// Kafka's tool for rights.
pub const ACLS: &str = "org.apache.kafka.tools.AclCommand";

/// Kafka's tool for users.
pub const USERS: &str = "kafka.admin.ConfigCommand";

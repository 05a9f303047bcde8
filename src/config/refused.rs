//! The properties of librdkafka that `kafka.properties` does not take, each with its reason.
//!
//! Everything else passes through. A property is refused when a value of it would break a promise
//! (P1 nothing lost, P2 nothing doubled, P3 commits, P4 order, P5 memory, P9 secrets), or when a key
//! of ours sets it already. A value in `fine` changes nothing and is let through, so that a list of
//! properties copied from another consumer does not have to be weeded.

/// One refused property, or, when the name ends in `*`, all whose names begin so.
#[derive(Debug)]
pub struct Refused {
    /// The name.
    pub name: &'static str,
    /// Values that change nothing.
    pub fine: &'static [&'static str],
    /// Why it is refused.
    pub reason: &'static str,
    /// What to use in its place.
    pub instead: &'static str,
}

impl Refused {
    /// The refusal of this property, if it is refused: by its own name first, then by its beginning.
    pub fn of(name: &str) -> Option<&'static Self> {
        REFUSED.iter().find(|refused| refused.name == name).or_else(|| {
            REFUSED
                .iter()
                .find(|refused| refused.name.strip_suffix('*').is_some_and(|start| name.starts_with(start)))
        })
    }
}

const fn never(name: &'static str, reason: &'static str, instead: &'static str) -> Refused {
    Refused { name, fine: &[], reason, instead }
}

const fn unless(
    name: &'static str,
    fine: &'static [&'static str],
    reason: &'static str,
    instead: &'static str,
) -> Refused {
    Refused { name, fine, reason, instead }
}

const REMOVE: &str = "remove it";
const COMMITS: &str = "offsets are committed by streamproc itself, after the writes have succeeded (P1, P3)";
const BUDGET: &str = "it is part of the memory that trigger.max_bytes bounds (P5)";
const USE_BUDGET: &str = "set trigger.max_bytes";
const SIGN_IN: &str = "kafka.auth says how to sign in";
const METHOD: &str = "set kafka.auth.method";
const IDEMPOTENT: &str =
    "a dead letter must be written exactly once and by all replicas before its offset is committed (P1)";
const GROUP: &str =
    "the group's protocol is fixed: handing a partition over waits until its writes are settled (P3)";
const CERTIFICATES: &str = "the brokers' certificates are always checked (P9)";
const USE_CA: &str =
    "set kafka.auth.ca_file to the certificate authority that signed the brokers' certificates";
const NATIVE: &str = "it loads a foreign library into the process";
const KEY_FILE: &str = "set kafka.auth.certificate_file and kafka.auth.key_file, with method mtls";
const OLD: &str = "without the brokers' versions, idempotent writing and read_committed are off (P1)";

/// The table.
pub const REFUSED: &[Refused] = &[
    // Commits and positions.
    unless("enable.auto.commit", &["false"], COMMITS, REMOVE),
    unless("auto.commit.enable", &["false"], COMMITS, REMOVE),
    never("auto.commit.interval.ms", COMMITS, REMOVE),
    unless("enable.auto.offset.store", &["false"], COMMITS, REMOVE),
    never("offset.store.*", COMMITS, REMOVE),
    unless(
        "auto.offset.reset",
        &["error"],
        "the library would jump over records without a word when an offset is gone (P1)",
        "set kafka.start and kafka.on_out_of_range",
    ),
    unless(
        "isolation.level",
        &["read_committed"],
        "records of aborted transactions would be stored (P1)",
        REMOVE,
    ),
    unless("check.crcs", &["true"], "damaged records would be stored unnoticed (P1)", REMOVE),
    never("enable.partition.eof", "streamproc reads the ends of the partitions by itself", REMOVE),
    never(
        "topic.blacklist",
        "a hidden topic would go unread and show no lag (P1)",
        "leave the topic out of kafka.topics",
    ),
    unless(
        "allow.auto.create.topics",
        &["false"],
        "a misspelt topic would be created and read for ever (P1)",
        "create the topic",
    ),
    // The group.
    never("group.id", "kafka.group_id names the group", "set kafka.group_id"),
    never(
        "group.instance.id",
        "the workers of a process, and the replicas of a deployment, cannot share one id: each would fence the other off",
        "remove it; cooperative hand-over makes a restart cheap without it",
    ),
    unless("group.protocol", &["classic"], GROUP, REMOVE),
    never("group.protocol.type", GROUP, REMOVE),
    never("group.remote.assignor", GROUP, REMOVE),
    unless("partition.assignment.strategy", &["cooperative-sticky"], GROUP, REMOVE),
    never("session.timeout.ms", "kafka.session_timeout sets it", "set kafka.session_timeout"),
    never(
        "max.poll.interval.ms",
        "it bounds how long a hand-over may take, and must stay above shutdown.timeout (P3)",
        "set shutdown.timeout",
    ),
    never("client.rack", "kafka.client_rack sets it", "set kafka.client_rack"),
    // Memory.
    never("queued.*", BUDGET, USE_BUDGET),
    never("fetch.max.bytes", BUDGET, USE_BUDGET),
    never("fetch.message.max.bytes", BUDGET, USE_BUDGET),
    never("max.partition.fetch.bytes", BUDGET, USE_BUDGET),
    never("receive.message.max.bytes", BUDGET, USE_BUDGET),
    never("fetch.queue.backoff.ms", "back-pressure depends on it (P5)", REMOVE),
    never("queue.buffering.max.messages", BUDGET, USE_BUDGET),
    never("queue.buffering.max.kbytes", BUDGET, USE_BUDGET),
    // Dead letters.
    unless("enable.idempotence", &["true"], IDEMPOTENT, REMOVE),
    unless("acks", &["all", "-1"], IDEMPOTENT, REMOVE),
    unless("request.required.acks", &["all", "-1"], IDEMPOTENT, REMOVE),
    never("retries", IDEMPOTENT, REMOVE),
    never("message.send.max.retries", IDEMPOTENT, REMOVE),
    never("max.in.flight", "idempotent writing allows at most five (P2)", REMOVE),
    never("max.in.flight.requests.per.connection", "idempotent writing allows at most five (P2)", REMOVE),
    never("enable.gapless.guarantee", "one failed dead letter would end the producer (P7)", REMOVE),
    never(
        "delivery.report.only.error",
        "an offset is committed on the report that its dead letter arrived (P1)",
        REMOVE,
    ),
    never("queuing.strategy", "dead letters are written in order (P4)", REMOVE),
    never("transactional.id", "dead letters are written outside transactions, idempotently", REMOVE),
    never("transaction.timeout.ms", "dead letters are written outside transactions, idempotently", REMOVE),
    never(
        "message.max.bytes",
        "dead letters use the largest size there is already",
        "set dead_letter.oversize",
    ),
    // Connection and sign-in.
    never("bootstrap.servers", "kafka.bootstrap_servers sets it", "set kafka.bootstrap_servers"),
    never("metadata.broker.list", "kafka.bootstrap_servers sets it", "set kafka.bootstrap_servers"),
    never("security.protocol", SIGN_IN, "set kafka.auth.method and kafka.auth.tls"),
    never("sasl.mechanism", SIGN_IN, "set kafka.auth.method and kafka.auth.mechanism"),
    never("sasl.mechanisms", SIGN_IN, "set kafka.auth.method and kafka.auth.mechanism"),
    never("sasl.username", SIGN_IN, "set kafka.auth.username"),
    never("sasl.password", "a secret never stands in the configuration (P9)", "set kafka.auth.password_file"),
    never("sasl.kerberos.*", "Kerberos is not built in", METHOD),
    never(
        "sasl.oauthbearer.*",
        "tokens come from Microsoft Entra ID",
        "set kafka.auth.method to workload_identity",
    ),
    never("sasl.*", SIGN_IN, METHOD),
    unless(
        "enable.sasl.oauthbearer.unsecure.jwt",
        &["false"],
        "it signs in with tokens that nobody has signed (P9)",
        "set kafka.auth.method to workload_identity",
    ),
    unless("enable.ssl.certificate.verification", &["true"], CERTIFICATES, USE_CA),
    unless("ssl.endpoint.identification.algorithm", &["https"], CERTIFICATES, USE_CA),
    never("ssl.ca.location", "kafka.auth.ca_file sets it", "set kafka.auth.ca_file"),
    never("ssl.ca.pem", "kafka.auth.ca_file sets it", "set kafka.auth.ca_file"),
    never("ssl.certificate.location", "kafka.auth.certificate_file sets it", KEY_FILE),
    never("ssl.certificate.pem", "kafka.auth.certificate_file sets it", KEY_FILE),
    never("ssl.key.location", "kafka.auth.key_file sets it", KEY_FILE),
    never("ssl.key.pem", "a secret never stands in the configuration (P9)", KEY_FILE),
    never(
        "ssl.key.password",
        "a secret never stands in the configuration (P9)",
        "give a key_file without a passphrase, on a volume held in memory",
    ),
    never(
        "ssl.keystore.*",
        "only PEM files are taken, and no passphrase stands in the configuration (P9)",
        KEY_FILE,
    ),
    never(
        "https.ca.*",
        "librdkafka fetches no tokens here",
        "set the variable SSL_CERT_FILE for a private certificate authority",
    ),
    never("ssl.engine.*", NATIVE, "use ssl.providers"),
    never("plugin.library.paths", NATIVE, REMOVE),
    // The library itself.
    never("api.version.*", OLD, REMOVE),
    never("broker.version.fallback", OLD, REMOVE),
    never("statistics.interval.ms", "streamproc decides which statistics it needs", "see /metrics"),
    never("test.mock.*", "it replaces the brokers by a mock inside the process", "use streamproc sandbox"),
    never("log.queue", "streamproc forwards the library's log by itself", REMOVE),
    never("enabled_events", "streamproc serves the library's events by itself", REMOVE),
    never("internal.termination.signal", "the process's signals are streamproc's (P8)", REMOVE),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::config::librdkafka;

    #[test]
    fn every_refused_name_exists() {
        for refused in REFUSED.iter().filter(|refused| !refused.name.starts_with("test.mock.")) {
            let exists = match refused.name.strip_suffix('*') {
                Some(start) => librdkafka::names().any(|name| name.starts_with(start)),
                None => librdkafka::is_known(refused.name),
            };
            assert!(exists, "{}", refused.name);
        }
    }

    #[test]
    fn both_names_of_a_property_are_refused_or_neither_is() {
        for (one, other) in librdkafka::ALIASES {
            assert_eq!(Refused::of(one).is_some(), Refused::of(other).is_some(), "{one}");
        }
    }

    #[test]
    fn no_property_whose_name_promises_a_secret_is_let_through() {
        let open: Vec<&str> = librdkafka::names()
            .filter(|name| crate::config::secret::names_a_secret(name) && Refused::of(name).is_none())
            .collect();
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn the_name_itself_goes_before_its_beginning() {
        assert_eq!(Refused::of("sasl.password").unwrap().instead, "set kafka.auth.password_file");
        assert_eq!(Refused::of("sasl.mechanism.inter.broker.protocol").unwrap().name, "sasl.*");
        assert!(Refused::of("linger.ms").is_none());
    }
}

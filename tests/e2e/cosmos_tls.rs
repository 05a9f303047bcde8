//! Cosmos DB behind a private authority's certificate: the authority comes by `SSL_CERT_FILE`, and a certificate
//! that is not in order is refused, named, and no reason to begin anew once it is.

use std::path::Path;

use crate::stage::held::{self, TOLD};
use crate::stage::{Layout, SOON, Stage, event};
use crate::support::certificates::{Authority, Issued};
use crate::support::guard;
use crate::support::kafka::Record;
use crate::support::service::{Service, Setup};
use crate::support::tls_front::TlsFront;

/// A stage whose Cosmos DB is reached by TLS alone.
struct Behind {
    stage: Stage,
    front: TlsFront,
}

impl Behind {
    fn new(certificate: &Issued) -> Self {
        let front = TlsFront::start(certificate);
        let advertised = format!("https://localhost:{}/", front.port()).parse().unwrap();
        let stage = Stage::new(Layout { partitions: 1, cosmos_at: Some(advertised), ..Layout::default() });
        front.pass_on_to(stage.cosmos().endpoint().port().expect("a port"));
        stage.send(&[Record::new(event(1, 0)).key("device-1"), Record::new("no event")]);
        Self { stage, front }
    }

    /// A service that is told of Cosmos DB under this name, and trusts these authorities.
    fn service(&self, host: &str, trusted: &Path) -> Service {
        let endpoint = format!("endpoint = \"https://{host}:{}/\"", self.front.port());
        let key = guard::temp_dir("cosmos-key").keep().join("key");
        std::fs::write(&key, self.stage.cosmos().key()).unwrap();
        let key_file = format!("key_file = {:?}", key.display().to_string());
        let config = self.stage.config(&[("cosmos", &endpoint), ("cosmos.auth", &key_file)]);
        Setup::new(&config).variable("SSL_CERT_FILE", &trusted.display().to_string()).start()
    }

    fn goes_on(&self, service: &Service, documents: u64) {
        self.stage.wait_until_caught_up(service, SOON);
        held::wait_until_ready(service, SOON);
        assert_eq!((self.stage.cosmos().stats().documents(), self.stage.letters().len()), (documents, 1));
    }
}

#[test]
fn a_certificate_that_is_not_in_order_is_named_and_taken_up_once_it_is() {
    let (files, elsewhere) = (guard::temp_dir("authority"), guard::temp_dir("stranger"));
    let authority = Authority::new(files.path());
    let stranger = Authority::new(elsewhere.path());
    let ours = &authority.ca_file;
    let right = authority.issue_for("right", "DNS:localhost");
    let advice = "SSL_CERT_FILE";
    // What is shown, under which name it is met, whom the service trusts, what it says.
    let wrong = [
        (&stranger.issue("unknown"), "localhost", "UnknownIssuer"),
        (&authority.issue_expired("expired"), "localhost", "certificate: Expired"),
        (&right, "127.0.0.1", "not valid for name"),
    ];
    // All at once: what takes time is the waiting.
    let running: Vec<_> = wrong
        .into_iter()
        .map(|(certificate, host, said)| {
            let behind = Behind::new(certificate);
            (behind.service(host, ours), behind, said)
        })
        .collect();
    for (service, behind, said) in &running {
        held::wait_for(service, "store_unreachable", &[said, advice, "cosmos.endpoint"], TOLD);
        assert_eq!(behind.stage.cosmos().stats().documents(), 0, "{said}");
        assert_eq!(service.metric("streamproc_events_consumed_total", &[]), None, "{said}: nothing is read");
    }
    let both = authority.issue("both");
    for (service, behind, said) in &running {
        println!("mended: {said}");
        behind.front.show(&both);
        behind.goes_on(service, 1);
    }

    // While the stream flows.
    let (service, behind, _) = &running[0];
    behind.front.show(&authority.issue_expired("expired-later"));
    behind.stage.send(&[Record::new(event(1, 1)).key("device-1")]);
    held::wait_for(service, "transport", &["certificate: Expired", advice], SOON);
    behind.front.show(&both);
    behind.goes_on(service, 2);
}

//! A certificate authority of the test's own, made anew for every run by the `openssl` program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use uuid::Uuid;

/// A private authority and the certificates it has issued, as PEM files in one directory.
#[derive(Debug)]
pub struct Authority {
    dir: PathBuf,
    /// The certificate to trust.
    pub ca_file: PathBuf,
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM, PKCS#8, not encrypted.
    pub key: PathBuf,
    /// Both in one file, the key first, as Java's PEM key stores want it.
    pub both: PathBuf,
}

impl Issued {
    /// What a server needs that shows it.
    pub fn tls(&self) -> ServerConfig {
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect)
            .expect("the certificate just issued");
        let key = PrivateKeyDer::from_pem_file(&self.key).expect("the key just made");
        let tls = ServerConfig::builder().with_no_client_auth();
        tls.with_single_cert(chain, key).expect("they belong together")
    }
}

impl Authority {
    /// A new authority with its files in `dir`.
    pub fn new(dir: &Path) -> Self {
        let authority = Self { dir: dir.to_owned(), ca_file: dir.join("ca.pem") };
        // A name of its own, or whoever trusts another of this name would take a stranger's for badly signed.
        let name = Uuid::new_v4().simple();
        authority.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=authority-{name} \
             -keyout {} -out {}",
            authority.path("ca.key"),
            authority.path("ca.pem"),
        ));
        authority
    }

    /// A certificate for this machine, `localhost` and 127.0.0.1, good for servers and clients.
    pub fn issue(&self, name: &str) -> Issued {
        self.issue_for(name, "DNS:localhost,IP:127.0.0.1")
    }

    /// The same for other names, as openssl writes them: `DNS:example.test`.
    pub fn issue_for(&self, name: &str, names: &str) -> Issued {
        self.issue_until(name, names, "-days 2")
    }

    /// The same as [`Authority::issue`], but it has expired.
    pub fn issue_expired(&self, name: &str) -> Issued {
        let help = Command::new("openssl").args(["x509", "-help"]).output().expect("the openssl program");
        let told = String::from_utf8_lossy(&[help.stdout, help.stderr].concat()).into_owned();
        // Since OpenSSL 3.4 the end may not lie before the beginning, and the beginning can be told.
        let dates = if told.contains("-not_before") {
            "-not_before 20200101000000Z -not_after 20200102000000Z"
        } else {
            "-days -1"
        };
        self.issue_until(name, "DNS:localhost,IP:127.0.0.1", dates)
    }

    fn issue_until(&self, name: &str, names: &str, dates: &str) -> Issued {
        let (key, request, certificate) =
            (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let extensions = format!("{name}.ext");
        fs::write(
            self.dir.join(&extensions),
            format!("subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n"),
        )
        .expect("write to a temporary directory");
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj /CN={name} -keyout {} -out {}",
            self.path(&key),
            self.path(&request),
        ));
        self.openssl(&format!(
            "x509 -req {dates} -in {} -CA {} -CAkey {} -CAcreateserial -extfile {} -out {}",
            self.path(&request),
            self.path("ca.pem"),
            self.path("ca.key"),
            self.path(&extensions),
            self.path(&certificate),
        ));
        let issued = Issued {
            certificate: self.dir.join(certificate),
            key: self.dir.join(key),
            both: self.dir.join(format!("{name}.both.pem")),
        };
        let read = |path: &Path| fs::read_to_string(path).expect("openssl wrote it");
        fs::write(&issued.both, read(&issued.key) + &read(&issued.certificate)).expect("write");
        issued
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn openssl(&self, arguments: &str) {
        openssl(&self.dir, arguments);
    }
}

/// Runs `openssl` with arguments separated by spaces and returns what it printed.
pub fn openssl(dir: &Path, arguments: &str) -> Vec<u8> {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(dir)
        .output()
        .expect("the openssl program; scripts/setup.sh test installs it");
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

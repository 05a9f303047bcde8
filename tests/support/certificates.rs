//! A certificate authority of the test's own, made anew for every run by the `openssl` program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

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

impl Authority {
    /// A new authority with its files in `dir`.
    pub fn new(dir: &Path) -> Self {
        let authority = Self { dir: dir.to_owned(), ca_file: dir.join("ca.pem") };
        authority.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=streamproc-test-ca \
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
            "x509 -req -days 2 -in {} -CA {} -CAkey {} -CAcreateserial -extfile {} -out {}",
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

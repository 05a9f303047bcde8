//! Tokens as Microsoft Entra ID gives them: signed with RS256 by an [`Issuer`], handed out by a
//! token [`Endpoint`] over HTTPS that can be told to hang or to refuse.
//!
//! `azure_identity` takes the endpoint by `AZURE_AUTHORITY_HOST` (https only) and trusts its
//! certificate by `SSL_CERT_FILE`.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::certificates::{Authority, Issued, openssl};

const KEY_ID: &str = "streamproc-test-key";

/// Signs tokens with an RSA key of its own.
#[derive(Clone, Debug)]
pub struct Issuer {
    dir: PathBuf,
    /// The public key as a JSON Web Key Set, for whoever checks the tokens.
    pub jwks_file: PathBuf,
}

impl Issuer {
    /// A new key, with its files in `dir`.
    pub fn new(dir: &Path) -> Self {
        openssl(dir, "genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out token.key");
        let printed = String::from_utf8(openssl(dir, "rsa -in token.key -noout -modulus")).expect("text");
        let hex = printed.trim().strip_prefix("Modulus=").expect("Modulus=HEX");
        let modulus: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
            .collect();
        let jwks_file = dir.join("jwks.json");
        // AQAB is 65537, the public exponent that openssl takes unless told otherwise.
        let jwks = serde_json::json!({ "keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID,
            "n": BASE64_URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB",
        }]});
        fs::write(&jwks_file, jwks.to_string()).expect("write to a temporary directory");
        Self { dir: dir.to_owned(), jwks_file }
    }

    /// A token for `subject`, good for `audience` during `lifetime` from now.
    pub fn token(&self, subject: &str, audience: &str, lifetime: Duration) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let header = serde_json::json!({ "alg": "RS256", "typ": "JWT", "kid": KEY_ID });
        let claims = serde_json::json!({
            "iss": "https://issuer.test", "sub": subject, "aud": audience, "iat": now, "nbf": now,
            "exp": now + lifetime.as_secs(),
        });
        let encode = |part: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.sign(signed.as_bytes()).expect("openssl signs");
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    fn sign(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut openssl = Command::new("openssl")
            .args(["dgst", "-sha256", "-sign", "token.key"])
            .current_dir(&self.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        openssl.stdin.take().expect("piped").write_all(bytes)?;
        Ok(openssl.wait_with_output()?.stdout)
    }
}

/// What the endpoint does with a request.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// Answers with a token.
    Answer,
    /// Answers with this status and no token.
    Fail(u16),
    /// Takes the request and says nothing for this long, then answers.
    Hang(Duration),
}

/// An HTTPS server on this machine that answers every POST like Entra's `/oauth2/v2.0/token`. The
/// token's audience is the scope that was asked for, less `/.default`.
pub struct Endpoint {
    port: u16,
    state: Arc<State>,
}

struct State {
    issuer: Issuer,
    tls: Arc<ServerConfig>,
    mode: Mutex<Mode>,
    lifetime: Mutex<Duration>,
    requests: AtomicUsize,
    given: Mutex<Vec<String>>,
    stopped: AtomicBool,
}

impl Endpoint {
    /// Starts an endpoint whose certificate comes from `authority`.
    pub fn start(issuer: &Issuer, authority: &Authority) -> Self {
        Self::start_with(issuer, &authority.issue("token-endpoint"))
    }

    /// The same with a certificate of the test's own.
    pub fn start_with(issuer: &Issuer, certificate: &Issued) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let state = Arc::new(State {
            issuer: issuer.clone(),
            tls: Arc::new(certificate.tls()),
            mode: Mutex::new(Mode::Answer),
            lifetime: Mutex::new(Duration::from_hours(1)),
            requests: AtomicUsize::new(0),
            given: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let state = Arc::clone(&accepting);
                // A client that goes away is no failure of the endpoint.
                thread::spawn(move || drop(state.serve(stream)));
            }
        });
        Self { port, state }
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL for `AZURE_AUTHORITY_HOST`.
    pub fn authority_host(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// What to do with the requests from now on.
    pub fn set(&self, mode: Mode) {
        *self.state.mode.lock().unwrap() = mode;
    }

    /// How long the tokens from now on are good.
    pub fn set_lifetime(&self, lifetime: Duration) {
        *self.state.lifetime.lock().unwrap() = lifetime;
    }

    /// The tokens that were given.
    pub fn given(&self) -> Vec<String> {
        self.state.given.lock().unwrap().clone()
    }

    /// How many requests have come.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts, so that it sees it.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl State {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let connection = ServerConnection::new(Arc::clone(&self.tls)).map_err(io::Error::other)?;
        let mut stream = BufReader::new(StreamOwned::new(connection, stream));
        let form = read_request(&mut stream)?;
        self.requests.fetch_add(1, Ordering::SeqCst);
        let mode = *self.mode.lock().unwrap();
        if let Mode::Hang(limit) = mode {
            let start = Instant::now();
            while start.elapsed() < limit && !self.stopped.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(20));
            }
        }
        let (status, body) = match mode {
            Mode::Fail(status) => (
                status,
                serde_json::json!({
                    "error": "temporarily_unavailable", "error_description": "the test said so", "error_codes": [90033],
                    "timestamp": "", "trace_id": "", "correlation_id": "",
                }),
            ),
            Mode::Answer | Mode::Hang(_) => (200, self.answer(&form)),
        };
        let body = body.to_string();
        write!(
            stream.get_mut(),
            "HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )?;
        stream.get_mut().flush()?;
        stream.get_mut().conn.send_close_notify();
        stream.get_mut().flush()
    }

    fn answer(&self, form: &[(String, String)]) -> serde_json::Value {
        let value = |name: &str| form.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str());
        let audience = value("scope").trim_end_matches("/.default");
        let lifetime = *self.lifetime.lock().unwrap();
        let token = self.issuer.token(value("client_id"), audience, lifetime);
        self.given.lock().unwrap().push(token.clone());
        serde_json::json!({
            "token_type": "Bearer", "expires_in": lifetime.as_secs(), "ext_expires_in": lifetime.as_secs(),
            "access_token": token,
        })
    }
}

/// Reads one request and returns its form fields.
fn read_request(stream: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(url::form_urlencoded::parse(&body).into_owned().collect())
}

//! TLS in front of a plain port of this machine: a private endpoint, or a proxy, with a certificate of the test's
//! choice. Whoever is content with the certificate is passed on.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::certificates::Issued;

/// A front; it ends when it is dropped.
pub struct TlsFront {
    port: u16,
    shown: watch::Sender<Arc<ServerConfig>>,
    behind: Arc<Mutex<Option<u16>>>,
    // Its tasks end with it.
    runtime: Option<Runtime>,
}

impl TlsFront {
    /// A front that shows this certificate, with nothing behind it yet.
    pub fn start(certificate: &Issued) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener of ours");
        let port = listener.local_addr().expect("bound").port();
        let (shown, showing) = watch::channel(tls(certificate));
        let behind = Arc::new(Mutex::new(None));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.spawn(accept(listener, showing, Arc::clone(&behind)));
        Self { port, shown, behind, runtime: Some(runtime) }
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Passes on to this port.
    pub fn pass_on_to(&self, port: u16) {
        *self.behind.lock().unwrap() = Some(port);
    }

    /// Shows another certificate from now on; all connections end.
    pub fn show(&self, certificate: &Issued) {
        self.shown.send_replace(tls(certificate));
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Microsoft's client speaks HTTP/2 to whoever does.
fn tls(certificate: &Issued) -> Arc<ServerConfig> {
    let mut tls = certificate.tls();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(tls)
}

async fn accept(
    listener: TcpListener,
    showing: watch::Receiver<Arc<ServerConfig>>,
    behind: Arc<Mutex<Option<u16>>>,
) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener of ours");
    while let Ok((stream, _)) = listener.accept().await {
        let mut showing = showing.clone();
        let acceptor = TlsAcceptor::from(Arc::clone(&showing.borrow_and_update()));
        let behind = *behind.lock().unwrap();
        let passing = async move {
            // A client that does not like the certificate goes away here.
            let mut outside = acceptor.accept(stream).await.ok()?;
            let mut inside = TcpStream::connect(("127.0.0.1", behind?)).await.ok()?;
            copy_bidirectional(&mut outside, &mut inside).await.ok()
        };
        tokio::spawn(async move {
            tokio::select! {
                _ = passing => {}
                _ = showing.changed() => {}
            }
        });
    }
}

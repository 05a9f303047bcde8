//! The connections of the admin port, each with limits.
//!
//! Nobody signs in here, and whoever can reach the pod can knock. None of them may take the memory, the file
//! descriptors or the time that the stream needs, nor keep the kubelet from being answered, which would have
//! the pod restarted:
//!
//! | limit                                     | keeps away                                                     |
//! |-------------------------------------------|----------------------------------------------------------------|
//! | [`AT_ONCE`] connections                   | descriptors and memory by number                               |
//! | one more takes the place of the oldest    | all places taken by clients that only sit there                |
//! | [`BACKLOG`] may wait to be let in         | a kubelet's knock lost in a burst, and repeated after a second |
//! | [`TIME_LIMIT`] from beginning to end      | senders of a byte a second, and readers of one                 |
//! | one request a connection                  | idle connections; a probe or a scrape needs no second          |
//! | [`LARGEST_HEAD`], HTTP/1                  | memory by headers and addresses; many streams in a connection  |
//! | a body is not read                        | memory by bodies                                               |
//!
//! The oldest goes and not the newest: an answer takes milliseconds, so who has been here longest among so many
//! is not waiting for one.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// How many connections there are at most. Far more than probes and scrapers need, and a quarter of the 1,024
/// file descriptors that a process has where nobody has said otherwise. Each may hold some 20 KiB and an answer.
pub(super) const AT_ONCE: usize = 256;

/// How long a connection may last. A scrape that takes longer than Prometheus's usual ten seconds is given up
/// by Prometheus as well.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(10);

/// The most bytes in which a request's line and headers must fit. What kubelets, scrapers and browsers send
/// takes one or two thousand.
pub(super) const LARGEST_HEAD: usize = 16 << 10;

/// How many connections wait in the kernel while this is busy. Of what comes beyond, nothing is heard, and the
/// client knocks again after a second, which is as long as a kubelet waits; 128 would be the default.
const BACKLOG: u32 = 1024;

/// How long to wait when no connection can be accepted: out of file descriptors, most likely.
const PAUSE: Duration = Duration::from_millis(100);

/// Listens.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A process that has just ended may have left connections that linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Answers until dropped, and with it all that is open.
pub(super) async fn serve(listener: TcpListener, router: Router) {
    let mut connections = Connections::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => connections.begin(answer(stream, router.clone())),
            Err(error) => {
                tracing::debug!(%error, "the admin port cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// One connection. How it ends is the client's business: it went away, or sent what is no HTTP.
async fn answer(stream: TcpStream, router: Router) {
    let mut http = http1::Builder::new();
    http.keep_alive(false).max_buf_size(LARGEST_HEAD);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let _ = tokio::time::timeout(TIME_LIMIT, connection).await;
}

/// What is open, the oldest first.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    by_age: VecDeque<AbortHandle>,
}

impl Connections {
    fn begin(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.by_age.retain(|task| !task.is_finished());
        if self.by_age.len() >= AT_ONCE
            && let Some(oldest) = self.by_age.pop_front()
        {
            oldest.abort();
        }
        self.by_age.push_back(self.tasks.spawn(connection));
    }
}

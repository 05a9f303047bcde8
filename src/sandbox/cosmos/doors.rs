//! The addresses of an account's regions, when it has several. Each can be shut: then nobody listens there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::emulator::Region;
use super::server::{self, Service};

/// How long until an address that somebody else has taken meanwhile is tried again.
const PAUSE: Duration = Duration::from_millis(50);

/// A region, and what will listen for it.
pub(super) type Bound = (Region, std::net::TcpListener);

/// Whether each region's door is open. None where the only region is at the account's address.
pub(super) struct Doors(Vec<watch::Sender<bool>>);

impl Doors {
    /// Takes a port for each of several regions.
    pub(super) fn listen(first: &str, further: &[String]) -> anyhow::Result<Vec<Bound>> {
        if further.is_empty() {
            return Ok(Vec::new());
        }
        let names = std::iter::once(first).chain(further.iter().map(String::as_str));
        let bind = |name: &str| {
            let listener = crate::sandbox::listen("a region of Cosmos DB", 0)?;
            let gateway = server::endpoint(listener.local_addr()?)?;
            Ok((Region { name: name.to_owned(), gateway }, listener))
        };
        names.map(bind).collect()
    }

    /// Serves each region at its port.
    pub(super) fn open(bound: Vec<Bound>, service: &Arc<Service>, runtime: &Handle) -> Self {
        let open = |(region, (_, listener)): (usize, Bound)| {
            let (open, is_open) = watch::channel(true);
            let service = Arc::clone(service);
            // It ends with the runtime, or when its address cannot be told.
            runtime.spawn(async move {
                let _ = keep(listener, is_open, region, service).await;
            });
            open
        };
        Self(bound.into_iter().enumerate().map(open).collect())
    }

    pub(super) fn is_open(&self, region: usize) -> bool {
        self.0.get(region).is_none_or(|open| *open.borrow())
    }

    pub(super) fn set_open(&self, region: usize, is_open: bool) -> anyhow::Result<()> {
        let door = self.0.get(region).context("the only region is at the account's address")?;
        door.send_replace(is_open);
        Ok(())
    }
}

/// Listens while the door is open; with it, everyone inside is gone too.
async fn keep(
    listener: std::net::TcpListener,
    mut is_open: watch::Receiver<bool>,
    region: usize,
    service: Arc<Service>,
) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    let mut listener = TcpListener::from_std(listener)?;
    loop {
        let mut inside = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                    let _ = stream.set_nodelay(true);
                    inside.spawn(server::converse(stream, Arc::clone(&service), move |_| Some(region)));
                },
                Some(_) = inside.join_next() => {}
                shut = is_open.wait_for(|open| !open) => match shut {
                    Ok(_) => break,
                    Err(_) => return Ok(()),
                },
            }
        }
        drop((listener, inside));
        if is_open.wait_for(|open| *open).await.is_err() {
            return Ok(());
        }
        listener = listen_again(address).await;
    }
}

async fn listen_again(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

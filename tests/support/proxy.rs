//! A proxy in front of a server, and bad weather between it and its clients.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::port;

/// What the network does to each piece of at most 16 KiB, in either direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// How much later it arrives.
    pub delay: Duration,
    /// How many pieces arrive in halves, with a pause between them. A fraction.
    pub halved: f64,
    /// Of how many only the first half arrives, and then the connection is gone. A fraction.
    pub torn: f64,
}

/// The longest pause between two halves.
const PAUSE: Duration = Duration::from_millis(200);

/// A proxy on a port of its own. Its threads live as long as their connections.
pub struct Proxy {
    port: u16,
    network: Arc<Network>,
}

struct Network {
    target: Mutex<Option<SocketAddr>>,
    weather: Mutex<Weather>,
    random: Mutex<StdRng>,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// In front of nothing yet, in fair weather.
    pub fn new() -> Self {
        let port = port::free();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
        let network = Arc::new(Network {
            target: Mutex::default(),
            weather: Mutex::default(),
            random: Mutex::new(StdRng::from_os_rng()),
            open: Mutex::default(),
        });
        let accepting = Arc::clone(&network);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                accepting.connect(client);
            }
        });
        Self { port, network }
    }

    /// Where clients find it, as a URL.
    pub fn url(&self) -> url::Url {
        format!("http://127.0.0.1:{}/", self.port()).parse().expect("a URL")
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connects from now on to what listens on this port of 127.0.0.1.
    pub fn stand_before(&self, port: u16) {
        *self.network.target.lock().unwrap() = Some(SocketAddr::from(([127, 0, 0, 1], port)));
    }

    /// The weather from now on.
    pub fn turn(&self, weather: Weather) {
        *self.network.weather.lock().unwrap() = weather;
    }

    /// Cuts every connection there is; gives how many.
    pub fn cut(&self) -> usize {
        let open = std::mem::take(&mut *self.network.open.lock().unwrap());
        open.iter().filter(|stream| stream.shutdown(Shutdown::Both).is_ok()).count()
    }
}

impl Network {
    fn connect(self: &Arc<Self>, client: TcpStream) {
        // A server that is not there closes its clients' connections.
        let target = *self.target.lock().unwrap();
        let Some(Ok(server)) = target.map(TcpStream::connect) else { return };
        let again = |stream: &TcpStream| stream.try_clone().expect("a handle more");
        self.open.lock().unwrap().push(again(&client));
        for (from, to) in [(again(&client), again(&server)), (server, client)] {
            let _ = from.set_nodelay(true);
            let network = Arc::clone(self);
            thread::spawn(move || network.carry(from, to));
        }
    }

    /// Carries pieces one way until one side has ended, or the weather ends it.
    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut piece = [0; 16 << 10];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            if self.pass(&piece[..length], &mut to).is_none() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }

    fn pass(&self, piece: &[u8], to: &mut TcpStream) -> Option<()> {
        let Weather { delay, halved, torn } = *self.weather.lock().unwrap();
        let (dice, pause): (f64, f64) = self.random.lock().unwrap().random();
        thread::sleep(delay);
        if dice >= halved + torn {
            return to.write_all(piece).ok();
        }
        let (first, second) = piece.split_at(piece.len() / 2);
        to.write_all(first).ok()?;
        thread::sleep(PAUSE.mul_f64(pause));
        if dice < torn { None } else { to.write_all(second).ok() }
    }
}

//! The admin port is attacked while the stream flows: the stream does not notice, memory and descriptors stay
//! what they were, and whoever asks whether the process is alive is told.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::stage::flow::Flow;
use crate::stage::{Layout, SOON, Stage};
use crate::support::service::Service;
use crate::support::wait;

const MIB: u64 = 1 << 20;

/// Events a second.
const PACE: usize = 200;

/// How long to attack, so that it would be seen in what is stored.
const LONG_ENOUGH: Duration = Duration::from_secs(4);

/// What an attack may cost in memory: the answers of all connections that there may be, and some.
const COSTS: u64 = 48 * MIB;

/// As many connections as src/admin/server.rs lets in, and what a service has open besides.
const DESCRIPTORS: f64 = 256.0 + 100.0;

/// A service that is busy, and what it had in use before anything happened.
struct Busy {
    stage: Stage,
    service: Service,
    flow: Flow,
    resident: u64,
}

impl Busy {
    fn start() -> Self {
        let stage = Stage::new(Layout { partitions: 2, ..Layout::default() });
        let flow = Flow::start(&stage, 20, PACE);
        let service = stage.service(&[]);
        wait::until(SOON, "events to be stored", || (stage.cosmos().stats().documents() > 200).then_some(()));
        let resident = service.rss_bytes();
        Self { stage, service, flow, resident }
    }

    fn admin(&self) -> SocketAddr {
        self.service.admin()
    }

    /// Attacks, again and again for a while, and holds what was stored meanwhile against the pace of the events. What the
    /// last attack gives is held on to until all is looked at.
    fn keeps_its_pace<T>(&self, what: &str, mut attack: impl FnMut() -> T) {
        let (begun, before) = (Instant::now(), self.stage.cosmos().stats().documents());
        let mut held = Some(attack());
        while begun.elapsed() < LONG_ENOUGH {
            drop(held.take());
            held = Some(attack());
        }
        let (took, stored) = (begun.elapsed(), self.stage.cosmos().stats().documents() - before);
        let sent = took.as_secs_f64() * PACE as f64;
        println!(
            "{what:?}: {took:.1?}, {stored} events stored of {sent:.0}, {} MiB",
            self.service.rss_bytes() / MIB
        );
        // What is on its way when the time is over counts as not stored.
        assert!(stored as f64 + PACE as f64 > 0.8 * sent, "{what}: {stored} stored in {took:?}");
        self.is_alive_at_once(what);
        let peak = self.service.peak_rss_bytes();
        assert!(
            peak < self.resident + COSTS,
            "{what}: {} MiB, and {} before",
            peak / MIB,
            self.resident / MIB
        );
        // What had to make room is closed a moment later.
        wait::until_ok(
            Duration::from_secs(3),
            &format!("no more than {DESCRIPTORS} descriptors, {what}"),
            || {
                let open = self.service.metric("process_open_fds", &[]);
                if open.is_some_and(|open| open < DESCRIPTORS) { Ok(()) } else { Err(format!("{open:?}")) }
            },
        );
        drop(held);
    }

    #[track_caller]
    fn is_alive_at_once(&self, after: &str) {
        let asked = Instant::now();
        let answer = self.service.get("/livez").unwrap_or_else(|error| panic!("after {after}: {error}"));
        assert_eq!(answer.status, 200, "after {after}");
        assert!(asked.elapsed() < Duration::from_secs(1), "after {after}: {:?}", asked.elapsed());
    }

    fn end(self) {
        let sent = self.flow.stop();
        self.stage.wait_until_caught_up(&self.service, SOON);
        assert_eq!(self.stage.cosmos().stats().documents(), sent.count() as u64);
    }
}

fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok(stream)
}

/// How many descriptors this process may have: as many as it may ask for.
fn descriptors() -> usize {
    let own = std::process::id().to_string();
    let raised = Command::new("prlimit").args(["--pid", &own, "--nofile=16384:"]).output();
    println!("more descriptors: {raised:?}");
    let limits = fs::read_to_string("/proc/self/limits").expect("Linux has it");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("the limit");
    line.split_whitespace().next().and_then(|soft| soft.parse().ok()).unwrap_or(usize::MAX)
}

/// Sends a hundred megabytes between this beginning and the end of the world, as far as they are taken.
fn send_100_megabytes(to: SocketAddr, beginning: &str) -> usize {
    let Ok(mut stream) = connect(to) else { return 0 };
    let chunk = vec![b'x'; 1 << 20];
    let mut sent = usize::from(stream.write_all(beginning.as_bytes()).is_ok());
    while sent < 100 << 20 && stream.write_all(&chunk).is_ok() {
        sent += chunk.len();
    }
    sent
}

#[test]
fn slow_clients_disturb_neither_the_stream_nor_the_probes() {
    let busy = Busy::start();
    busy.keeps_its_pace("headers byte by byte", || {
        let mut slow: Vec<_> = (0..400).filter_map(|_| connect(busy.admin()).ok()).collect();
        assert_eq!(slow.len(), 400, "whoever knocks is let in");
        for byte in b"GET /metrics HTTP/1.1\r\nHost: a" {
            for stream in &mut slow {
                let _ = stream.write(&[*byte]);
            }
            busy.is_alive_at_once("a byte");
            thread::sleep(Duration::from_millis(50));
        }
        slow
    });
    busy.keeps_its_pace("answers that nobody reads", || {
        let deaf: Vec<_> = (0..400)
            .filter_map(|_| {
                let mut stream = connect(busy.admin()).ok()?;
                stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").ok()?;
                Some(stream)
            })
            .collect();
        busy.is_alive_at_once("questions");
        deaf
    });
    busy.end();
}

#[test]
fn huge_and_malformed_requests_cost_nothing() {
    let busy = Busy::start();
    for beginning in [
        "GET /livez HTTP/1.1\r\nHost: a\r\nX-Huge: ",
        "GET /",
        "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 104857600\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6400000\r\n",
    ] {
        busy.keeps_its_pace(beginning, || {
            let sent = send_100_megabytes(busy.admin(), beginning);
            // The rest is in the kernel's buffers, or was never sent.
            assert!(sent < 50 << 20, "{sent} bytes of {beginning:?} were taken");
        });
    }
    busy.keeps_its_pace("what is no HTTP", || {
        let mut noise = 0x9E37_79B9_7F4A_7C15_u64;
        for number in 0..500_usize {
            let Ok(mut stream) = connect(busy.admin()) else { continue };
            let junk: Vec<u8> = (0..number)
                .map(|_| {
                    noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    noise.to_be_bytes()[0]
                })
                .collect();
            let beginning: &[u8] = if number % 2 == 0 { b"" } else { b"GET /livez HTTP/1.1\r\n" };
            let _ = stream.write_all(&[beginning, &junk, b"\r\n\r\n"].concat());
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read(&mut [0; 64]);
        }
    });
    busy.end();
}

#[test]
fn ten_thousand_connections_disturb_neither_the_stream_nor_the_probes() {
    let busy = Busy::start();
    let many = descriptors().saturating_sub(500).min(10_000);
    println!("{many} connections, of which this process may have {}", descriptors());
    busy.keeps_its_pace("connections", || {
        let admin = busy.admin();
        // By several at a time: one that does not get through at once is tried again after a second.
        let ask = move |_| {
            let mut stream = connect(admin).ok()?;
            // It may have had to make room already.
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
            Some(stream)
        };
        let some = || thread::spawn(move || (0..many / 20).filter_map(ask).collect::<Vec<_>>());
        let opening: Vec<_> = (0..20).map(|_| some()).collect();
        let held: Vec<_> = opening.into_iter().flat_map(|some| some.join().unwrap()).collect();
        assert!(held.len() > many * 9 / 10, "{} of {many}", held.len());
        held
    });

    // As fast as they can be opened, all the while somebody asks.
    let stop = Arc::new(AtomicBool::new(false));
    let (admin, stopped) = (busy.admin(), Arc::clone(&stop));
    let flood = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            let _ = connect(admin)
                .map(|mut stream| stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"));
        }
    });
    let mut failures_in_a_row = 0;
    busy.keeps_its_pace("a flood of requests", || {
        for _ in 0..60 {
            let answered = busy.service.get("/livez").is_ok_and(|answer| answer.status == 200);
            failures_in_a_row = if answered { 0 } else { failures_in_a_row + 1 };
            // So many have the kubelet restart a pod, unless it is told otherwise.
            assert!(failures_in_a_row < 3, "nobody says that it is alive");
            thread::sleep(Duration::from_millis(50));
        }
    });
    stop.store(true, Ordering::Relaxed);
    flood.join().unwrap();
    busy.end();
}

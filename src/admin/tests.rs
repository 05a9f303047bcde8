//! The admin port as strangers meet it, by plain sockets.

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::server::{AT_ONCE, LARGEST_HEAD, TIME_LIMIT};
use super::*;

/// An admin port, and how long its only worker has been silent.
struct Port {
    admin: Admin,
    health: Health,
    silent_seconds: Arc<AtomicU64>,
}

impl Port {
    async fn open() -> Self {
        let metrics = Metrics::new().unwrap();
        let health = Health::new(metrics.clone());
        let silent_seconds = Arc::new(AtomicU64::new(0));
        let asked = Arc::clone(&silent_seconds);
        let sources = Sources {
            metrics,
            health: health.clone(),
            progress: Progress::new("test", "test", "test"),
            silence: Arc::new(move || Duration::from_secs(asked.load(Ordering::Relaxed))),
        };
        Self { admin: Admin::listen("127.0.0.1:0", sources).await.unwrap(), health, silent_seconds }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.admin.address).await.unwrap()
    }

    /// The status and the body of an answer; an error when the connection ends without one.
    async fn ask(&self, request: &[u8]) -> io::Result<(u16, String)> {
        let mut stream = self.connect().await;
        // It may be answered and closed before all is sent.
        let _ = stream.write_all(request).await;
        read(&mut stream).await
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap()
    }
}

async fn read(stream: &mut TcpStream) -> io::Result<(u16, String)> {
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let parts = answer.split_once("\r\n\r\n").and_then(|(head, body)| {
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    });
    parts.ok_or_else(|| ended.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()))
}

/// What is waited for here takes real time, of which the runtime's clock knows nothing.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), test).await }).expect("in time");
}

#[test]
fn it_is_alive_until_a_worker_has_stood_still_for_a_minute() {
    run(async {
        let port = Port::open().await;
        for (silence, status, alive) in
            [(0, 200, true), (59, 200, true), (60, 503, false), (3600, 503, false)]
        {
            port.silent_seconds.store(silence, Ordering::Relaxed);
            let (answered, body) = port.get("/livez").await;
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!((answered, &body["alive"]), (status, &json!(alive)), "{silence} s: {body}");
            assert_eq!(body["longestSilenceSeconds"], json!(silence as f64));
        }
    });
}

#[test]
fn what_holds_the_stream_makes_it_not_ready_and_no_less_alive() {
    run(async {
        let port = Port::open().await;
        assert_eq!(port.get("/readyz").await.0, 200);
        port.health.raise("kafka_unreachable", "worker-0", "said\n{\"ready\": true}\u{9b}31m");
        let (status, body) = port.get("/readyz").await;
        assert_eq!(status, 503);
        assert!(body.contains(r#""reason":"kafka_unreachable""#), "{body}");
        assert!(!body.contains(['\n', '\u{9b}']), "{body:?}");
        assert_eq!(port.get("/livez").await.0, 200);
        port.health.clear("kafka_unreachable", "worker-0");
        assert_eq!(port.get("/readyz").await.0, 200);
    });
}

/// The clock stands still and jumps ahead as soon as nobody does anything.
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_get_done_is_cut_off() {
    let port = Port::open().await;
    for sent in ["", "G", "GET /livez HTTP/1.1\r\nHost: a\r\nX-Slow"] {
        let begun = Instant::now();
        let mut stream = port.connect().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        assert!(read(&mut stream).await.is_err(), "{sent:?} is no request");
        let took = begun.elapsed();
        assert!((TIME_LIMIT..TIME_LIMIT * 2).contains(&took), "{sent:?}: cut off after {took:?}");
    }
}

#[test]
fn one_connection_more_than_there_may_be_takes_the_place_of_the_oldest() {
    run(async {
        let port = Port::open().await;
        let mut idle = Vec::new();
        for _ in 0..AT_ONCE {
            idle.push(port.connect().await);
        }
        for path in ["/livez", "/metrics", "/readyz"] {
            assert_eq!(port.get(path).await.0, 200, "{path}");
        }
        let gone = tokio::time::timeout(TIME_LIMIT / 2, idle[0].read(&mut [0])).await;
        assert!(
            matches!(gone, Ok(Ok(0) | Err(_))),
            "the oldest is gone, and not for its time is over: {gone:?}"
        );
        let last = idle.last_mut().unwrap();
        last.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert_eq!(read(last).await.unwrap().0, 200, "the others have kept theirs");
    });
}

#[test]
fn a_connection_is_for_one_request() {
    run(async {
        let port = Port::open().await;
        let twice = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2);
        let (status, body) = port.ask(twice.as_bytes()).await.unwrap();
        assert_eq!(status, 200);
        assert!(!body.contains("HTTP/1.1"), "{body}");
    });
}

#[test]
fn what_is_too_large_or_no_http_is_refused_and_a_body_is_not_waited_for() {
    run(async {
        let port = Port::open().await;
        let long = "x".repeat(2 * LARGEST_HEAD);
        for (request, statuses) in [
            (format!("GET /livez HTTP/1.1\r\nHost: a\r\nX-Long: {long}\r\n\r\n"), &[431][..]),
            (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), &[414, 431]),
            (format!("GET /livez HTTP/1.1\r\n{}\r\n", "X-Many: 1\r\n".repeat(1_000)), &[431]),
            ("nonsense\r\n\r\n".to_owned(), &[400]),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &[]),
            ("GET /livez HTTP/1.1\r\nContent-Length: x\r\n\r\n".to_owned(), &[400]),
            ("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n".to_owned(), &[405]),
            ("GET /readyz HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n".to_owned(), &[200]),
            ("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), &[404]),
        ] {
            let shown = &request[..request.len().min(80)];
            match port.ask(request.as_bytes()).await {
                Ok((status, _)) => assert!(statuses.contains(&status), "{shown:?}: {status}"),
                // What was sent and not read resets the connection, perhaps before the answer is read.
                Err(error) => {
                    assert!(statuses.is_empty() || request.len() > LARGEST_HEAD, "{shown:?}: {error}");
                }
            }
        }
        assert_eq!(port.get("/livez").await.0, 200);
    });
}

//! What stands before the mock's brokers, so that clients see one fixed address.
//!
//! The mock's brokers listen on ports of their own choosing and name them in their answers. A front
//! listens for each broker, hands everything on, and changes two things on the way:
//!
//! - in the answers that name brokers (`Metadata`, `FindCoordinator`) a broker's port becomes its front's.
//!   Both are four bytes, so nothing else in the answer moves;
//! - a request for `ApiVersions` above version 2 is answered here, with "not that version, but these",
//!   as the protocol has it (KIP-511). The mock's own answer to it is malformed (a FIXME in
//!   `rdkafka_mock_handlers.c`, librdkafka 2.12.1): Apache Kafka's clients for Java read a throttle of
//!   twenty minutes out of it and wait.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// The host that the mock names in its answers.
const HOST: &[u8] = b"127.0.0.1";

const METADATA: i16 = 3;
const FIND_COORDINATOR: i16 = 10;
const API_VERSIONS: i16 = 18;

/// The newest `ApiVersions` that the mock answers as the protocol has it.
const NEWEST_API_VERSIONS: i16 = 2;
const UNSUPPORTED_VERSION: i16 = 35;

/// The first bytes of a request: its kind, the version of that, and the number that its answer has.
const REQUEST_HEAD: usize = 8;

/// The port of each broker, and of the front before it.
#[derive(Clone, Debug)]
pub(super) struct Ports(Arc<[(u16, u16)]>);

/// The numbers of the requests under way whose answers name brokers.
type Naming = Mutex<HashSet<i32>>;

impl Ports {
    /// Pairs of a broker's port and its front's.
    pub(super) fn new(pairs: impl IntoIterator<Item = (u16, u16)>) -> Self {
        Self(pairs.into_iter().collect())
    }

    /// Puts the fronts' ports in the place of the brokers'.
    fn rewrite(&self, answer: &mut [u8]) {
        let length = HOST.len();
        let mut at = 0;
        while let Some(found) = answer.get(at..).and_then(|rest| find(rest, HOST)) {
            at += found + length;
            let Some(port) = answer.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<4>) else { return };
            let named = i32::from_be_bytes(*port);
            if let Some((_, front)) = self.0.iter().find(|(broker, _)| i32::from(*broker) == named) {
                *port = i32::from(*front).to_be_bytes();
            }
        }
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// Takes connections for the broker at `port` for as long as the runtime lives.
pub(super) async fn serve(listener: std::net::TcpListener, port: u16, ports: Ports) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    loop {
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let ports = ports.clone();
        tokio::spawn(async move {
            let broker = TcpStream::connect(("127.0.0.1", port)).await?;
            connect(client, broker, &ports).await
        });
    }
}

/// Hands on what comes from either side until one of them closes.
async fn connect(client: TcpStream, broker: TcpStream, ports: &Ports) -> io::Result<()> {
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    let to_client = tokio::sync::Mutex::new(BufWriter::new(to_client));
    let naming = Naming::default();
    tokio::select! {
        ended = requests(from_client, to_broker, &to_client, &naming) => ended,
        ended = answers(from_broker, &to_client, &naming, ports) => ended,
    }
}

async fn requests(
    client: OwnedReadHalf,
    broker: OwnedWriteHalf,
    to_client: &tokio::sync::Mutex<BufWriter<OwnedWriteHalf>>,
    naming: &Naming,
) -> io::Result<()> {
    let (mut client, mut broker) = (BufReader::new(client), BufWriter::new(broker));
    loop {
        let length = length(&mut client).await?;
        let mut head = [0; REQUEST_HEAD];
        client.read_exact(&mut head).await?;
        let [k0, k1, v0, v1, n0, n1, n2, n3] = head;
        let (kind, version) = (i16::from_be_bytes([k0, k1]), i16::from_be_bytes([v0, v1]));
        let number = i32::from_be_bytes([n0, n1, n2, n3]);
        let rest = u64::from(length).saturating_sub(REQUEST_HEAD as u64);
        if kind == API_VERSIONS && version > NEWEST_API_VERSIONS {
            hand_on(&mut client, rest, &mut tokio::io::sink()).await?;
            let mut to_client = to_client.lock().await;
            to_client.write_all(&other_versions(number)).await?;
            to_client.flush().await?;
            continue;
        }
        if matches!(kind, METADATA | FIND_COORDINATOR) {
            naming.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
        }
        broker.write_u32(length).await?;
        broker.write_all(&head).await?;
        hand_on(&mut client, rest, &mut broker).await?;
        broker.flush().await?;
    }
}

async fn answers(
    broker: OwnedReadHalf,
    to_client: &tokio::sync::Mutex<BufWriter<OwnedWriteHalf>>,
    naming: &Naming,
    ports: &Ports,
) -> io::Result<()> {
    let mut broker = BufReader::new(broker);
    loop {
        let length = length(&mut broker).await?;
        let number = broker.read_i32().await?;
        let rest = length.saturating_sub(4);
        let names_brokers = naming.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        let mut to_client = to_client.lock().await;
        to_client.write_u32(length).await?;
        to_client.write_i32(number).await?;
        if names_brokers {
            let mut answer = vec![0; rest as usize];
            broker.read_exact(&mut answer).await?;
            ports.rewrite(&mut answer);
            to_client.write_all(&answer).await?;
        } else {
            hand_on(&mut broker, u64::from(rest), &mut *to_client).await?;
        }
        to_client.flush().await?;
    }
}

/// How many bytes follow.
async fn length(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<u32> {
    from.read_u32().await
}

async fn hand_on(
    from: &mut (impl AsyncBufRead + Unpin),
    bytes: u64,
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let handed_on = tokio::io::copy_buf(&mut from.take(bytes), to).await?;
    if handed_on == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// The answer to a request for `ApiVersions` of a version that is not known here, in the form of version
/// 0, which every client reads: which versions are.
fn other_versions(number: i32) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    body.extend(UNSUPPORTED_VERSION.to_be_bytes());
    body.extend(1_i32.to_be_bytes());
    for field in [API_VERSIONS, 0, NEWEST_API_VERSIONS] {
        body.extend(field.to_be_bytes());
    }
    let mut answer = (body.len() as u32).to_be_bytes().to_vec();
    answer.append(&mut body);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(ports: &[i32]) -> Vec<u8> {
        let mut answer = vec![0, 0, 0, 1];
        for port in ports {
            answer.extend(b"\x00\x09127.0.0.1");
            answer.extend(port.to_be_bytes());
            answer.extend(b"rack");
        }
        answer
    }

    #[test]
    fn a_brokers_port_becomes_its_fronts_and_nothing_else_moves() {
        let ports = Ports::new([(40_001, 9_092), (40_002, 9_093)]);
        let mut answer = named(&[40_002, 40_001, 55_555]);
        ports.rewrite(&mut answer);
        assert_eq!(answer, named(&[9_093, 9_092, 55_555]));
    }

    #[test]
    fn an_answer_that_ends_within_a_name_is_left_alone() {
        let ports = Ports::new([(40_001, 9_092)]);
        for answer in [&b"127.0.0.1"[..], b"127.0.0.1\0\0", b"", b"127.0.0."] {
            let mut rewritten = answer.to_vec();
            ports.rewrite(&mut rewritten);
            assert_eq!(rewritten, answer);
        }
    }

    #[test]
    fn the_answer_about_versions_has_the_form_of_version_0() {
        let expected = [
            &16_u32.to_be_bytes()[..],
            &7_i32.to_be_bytes(),
            &35_i16.to_be_bytes(),
            &1_i32.to_be_bytes(),
            &[0, 18, 0, 0, 0, 2],
        ]
        .concat();
        assert_eq!(other_versions(7), expected);
    }
}

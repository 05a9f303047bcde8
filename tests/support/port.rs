//! Free TCP ports on the loopback address.
//!
//! A broker's address has to be known before it starts and must still be free when it is started
//! again after a kill. So ports are taken from below the range that the kernel hands to outgoing
//! connections (from 32768 on Linux), never twice in a process, beginning at a random place.

use std::net::TcpListener;
use std::sync::Mutex;

use uuid::Uuid;

const FIRST: u16 = 15_000;
const LAST: u16 = 32_000;

/// A port that nothing listens on.
pub fn free() -> u16 {
    static NEXT: Mutex<Option<u16>> = Mutex::new(None);
    let mut next = NEXT.lock().unwrap();
    for _ in FIRST..LAST {
        let port = next.unwrap_or_else(anywhere);
        *next = Some(if port + 1 < LAST { port + 1 } else { FIRST });
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port from {FIRST} to {LAST} on 127.0.0.1");
}

fn anywhere() -> u16 {
    let (_, random, ..) = Uuid::new_v4().as_fields();
    FIRST + random % (LAST - FIRST)
}

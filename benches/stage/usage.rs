//! What a process has used, as the kernel counts it.

use std::fs;
use std::time::Duration;

/// Ticks a second of `/proc/PID/stat`: `sysconf(_SC_CLK_TCK)`, 100 on every Linux of today.
const TICKS: u64 = 100;

/// CPU time of a process and all its threads, user and system.
pub fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The second field is the name in parentheses, which may hold anything.
    let after_name = stat.rsplit_once(')').expect("a name").1;
    let mut fields = after_name.split_whitespace().skip(11);
    let ticks: u64 = fields.by_ref().take(2).map(|field| field.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 1_000 / TICKS)
}

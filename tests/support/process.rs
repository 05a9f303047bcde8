//! A process whose output is read while it runs.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::guard::{Guarded, Signal};
use super::wait;

/// Lines of output shown when a test fails.
const SHOWN: usize = 60;

#[derive(Default)]
struct Output {
    stdout: Vec<String>,
    stderr: Vec<String>,
    /// The end of both, as they came.
    last: VecDeque<String>,
}

/// A running process. Killed when dropped; when that happens because a test fails, the end of its
/// output is printed.
pub struct Process {
    name: String,
    child: Mutex<Guarded>,
    pid: u32,
    output: Arc<Mutex<Output>>,
    readers: Mutex<Vec<JoinHandle<()>>>,
}

impl Process {
    /// Starts a command with its output captured.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Self {
        let mut child =
            Guarded::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
        let output = Arc::new(Mutex::new(Output::default()));
        let stdout = child.child().stdout.take().expect("piped");
        let stderr = child.child().stderr.take().expect("piped");
        let readers = vec![
            read(stdout, Arc::clone(&output), |output| &mut output.stdout),
            read(stderr, Arc::clone(&output), |output| &mut output.stderr),
        ];
        let pid = child.pid();
        Self { name: name.to_owned(), child: Mutex::new(child), pid, output, readers: Mutex::new(readers) }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What it has written to standard output.
    pub fn stdout(&self) -> Vec<String> {
        self.output.lock().unwrap().stdout.clone()
    }

    /// What it has written to standard error.
    pub fn stderr(&self) -> Vec<String> {
        self.output.lock().unwrap().stderr.clone()
    }

    /// The end of its output, for failure messages.
    pub fn tail(&self) -> String {
        let output = self.output.lock().unwrap();
        let lines: Vec<&str> = output.last.iter().map(String::as_str).collect();
        format!("--- the end of what {} wrote:\n{}\n---", self.name, lines.join("\n"))
    }

    /// Waits for a line of either stream that contains `text`, and returns it.
    #[track_caller]
    pub fn wait_for_line(&self, text: &str, limit: Duration) -> String {
        self.wait_for(limit, &format!("a line with {text:?}"), |process| {
            let output = process.output.lock().unwrap();
            output.stdout.iter().chain(&output.stderr).find(|line| line.contains(text)).cloned()
        })
    }

    /// Waits until `look` finds something.
    ///
    /// # Panics
    /// When `limit` has passed, or at once when the process ends first.
    #[track_caller]
    pub fn wait_for<T>(&self, limit: Duration, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        wait::until_ok(limit, what, || {
            // Asked before looking: what it wrote last may be just what we wait for.
            let ended = self.exited();
            if ended.is_some() {
                self.join_readers();
            }
            look(self).ok_or_else(|| match ended {
                Some(status) => {
                    panic!("{} ended ({status}) while waiting for {what}\n{}", self.name, self.tail())
                }
                None => self.tail(),
            })
        })
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.child.lock().unwrap().signal(signal);
    }

    /// How it ended, if it has.
    pub fn exited(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap().exited()
    }

    /// Waits for its end; all of its output is there afterwards.
    ///
    /// # Panics
    /// When `limit` has passed.
    #[track_caller]
    pub fn wait_for_exit(&self, limit: Duration) -> ExitStatus {
        let status = wait::until_ok(limit, &format!("the end of {}", self.name), || {
            self.exited().ok_or_else(|| self.tail())
        });
        self.join_readers();
        status
    }

    /// Resident memory in bytes.
    pub fn rss_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most resident memory that it ever had, in bytes.
    pub fn peak_rss_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with(field)).expect("Linux has it");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number of kB");
        kib * 1024
    }

    fn join_readers(&self) {
        for reader in self.readers.lock().unwrap().drain(..) {
            let _ = reader.join();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.tail());
        }
    }
}

fn read(
    stream: impl Read + Send + 'static,
    output: Arc<Mutex<Output>>,
    of: fn(&mut Output) -> &mut Vec<String>,
) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let mut output = output.lock().unwrap();
            if output.last.len() == SHOWN {
                output.last.pop_front();
            }
            output.last.push_back(text.clone());
            of(&mut output).push(text);
            line.clear();
        }
    })
}

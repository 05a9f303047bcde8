//! Nothing is left behind: no process, no port, no temporary file, however the test process ends.
//!
//! Each test process starts one small shell that holds the reading end of a pipe. The kernel closes
//! the writing end when the test process is gone, be it by returning, by a panic or by SIGKILL; the
//! shell then kills every process group it was told of and removes the one directory under which
//! all temporary files are. `Drop` does the same earlier, for what is no longer needed.
//!
//! Statics are never dropped, so a broker that is shared by all tests relies on this alone. Linux's
//! parent-death signal does not serve here: it follows the *thread* that started the child, and a
//! test's thread ends with the test.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use tempfile::TempDir;

const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
groups=
while read -r event group; do
  kept=
  for one in $groups; do [ "$one" = "$group" ] || kept="$kept $one"; done
  [ "$event" = started ] && kept="$kept $group"
  groups=$kept
done
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$1" 2>/dev/null && break; sleep 0.2; done
"#;

struct Guard {
    shell: Child,
    dir: PathBuf,
}

fn guard() -> &'static Mutex<Guard> {
    static GUARD: OnceLock<Mutex<Guard>> = OnceLock::new();
    GUARD.get_or_init(|| {
        let dir = env::temp_dir().join(format!("streamproc-tests-{}", process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("a temporary directory");
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "guard"])
            .arg(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sh starts");
        Mutex::new(Guard { shell, dir })
    })
}

fn tell(event: &str, pid: u32) {
    let mut guard = guard().lock().unwrap();
    let pipe = guard.shell.stdin.as_mut().expect("piped");
    writeln!(pipe, "{event} {pid}").expect("the guard lives as long as we do");
}

/// A new directory, removed when dropped and at the latest when the test process ends.
pub fn temp_dir(name: &str) -> TempDir {
    let base = guard().lock().unwrap().dir.clone();
    tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(base).expect("a temporary directory")
}

/// What can be sent to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// What Kubernetes sends first.
    Term,
    /// Ctrl-C.
    Int,
    /// The end, at once.
    Kill,
    /// Holds the process where it is.
    Stop,
    /// Lets it go on.
    Continue,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Int => "INT",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }
}

/// A child process, leader of a process group of its own, that cannot outlive us.
pub struct Guarded {
    child: Child,
    status: Option<ExitStatus>,
}

impl Guarded {
    /// Starts the command.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(command: &mut Command) -> Self {
        guard();
        let child = command.process_group(0).spawn().unwrap_or_else(|e| panic!("start {command:?}: {e}"));
        tell("started", child.id());
        Self { child, status: None }
    }

    /// The child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The process id, and the id of its process group.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process; a [`Signal::Kill`] goes to its whole group.
    pub fn signal(&self, signal: Signal) {
        if self.status.is_none() {
            let group = if signal == Signal::Kill { "-" } else { "" };
            send(signal, &format!("{group}{}", self.pid()));
        }
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.status.is_none()
            && let Some(status) = self.child.try_wait().expect("our own child")
        {
            // What it started itself must not stay either.
            send(Signal::Kill, &format!("-{}", self.pid()));
            tell("ended", self.pid());
            self.status = Some(status);
        }
        self.status
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            let status = self.exited();
            if status.is_some() || start.elapsed() >= limit {
                return status;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if self.exited().is_none() {
            self.signal(Signal::Kill);
            let _ = self.wait(Duration::from_secs(10));
        }
    }
}

/// The shell's own `kill`, since calling the kernel's takes unsafe code.
fn send(signal: Signal, to: &str) {
    let _ = Command::new("sh")
        .args(["-c", r#"kill -s "$1" -- "$2""#, "kill", signal.name(), to])
        .stderr(Stdio::null())
        .status();
}

//! The harness itself: processes are watched, signalled and never left behind.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::guard::{self, Signal};
use crate::support::process::Process;
use crate::support::service::{Setup, streamproc, sum_of};
use crate::support::wait;

const LIMIT: Duration = Duration::from_secs(20);

fn shell(script: &str) -> Process {
    Process::start("sh", Command::new("sh").args(["-c", script]))
}

#[test]
fn a_process_is_heard_signalled_and_waited_for() {
    let process = shell("trap 'echo stopping >&2; exit 3' TERM; echo ready; while :; do sleep 0.05; done");
    assert_eq!(process.wait_for_line("ready", LIMIT), "ready");
    assert!(process.rss_bytes() > 100_000, "{} bytes", process.rss_bytes());
    process.signal(Signal::Term);
    assert_eq!(process.wait_for_exit(LIMIT).code(), Some(3));
    assert_eq!((process.stdout(), process.stderr()), (vec!["ready".to_owned()], vec!["stopping".to_owned()]));
}

#[test]
fn a_stopped_process_goes_on_when_told_to() {
    // Not by Ctrl-C's signal: a shell cannot trap what a test run in the background has to ignore.
    let process = shell("trap 'echo heard' TERM; echo ready; while :; do sleep 0.05; done");
    process.wait_for_line("ready", LIMIT);
    process.signal(Signal::Stop);
    wait::until(LIMIT, "the state T", || state(process.pid()).filter(|state| *state == 'T'));
    process.signal(Signal::Term);
    process.signal(Signal::Continue);
    process.wait_for_line("heard", LIMIT);
}

#[test]
#[should_panic(expected = "ended (exit status: 7) while waiting for a line with \"never\"")]
fn waiting_for_a_process_that_has_ended_fails_at_once() {
    shell("echo something else; exit 7").wait_for_line("never", Duration::from_hours(1));
}

#[test]
#[should_panic(expected = "waited 50ms for the moon; last seen: clouds")]
fn a_deadline_says_what_was_seen_instead() {
    wait::until_ok(Duration::from_millis(50), "the moon", || Err::<(), _>("clouds"));
}

#[test]
fn the_binary_under_test_runs() {
    let process = Process::start("streamproc", streamproc().arg("--version"));
    assert!(process.wait_for_exit(LIMIT).success());
    assert_eq!(process.stdout(), [concat!("streamproc ", env!("CARGO_PKG_VERSION"))]);
}

#[test]
fn a_service_gets_its_configuration_and_environment() {
    let setup = Setup::new("not = [toml").variable("STREAMPROC__LOG__FORMAT", "text");
    let password = setup.file("password", "made up");
    assert!(password.is_file());
    let service = setup.start();
    let status = service.wait_for_exit(LIMIT);
    assert!(!status.success(), "no service runs with such a configuration");
    assert!(service.get("/livez").is_err(), "nothing listens");
    assert!(service.start_again().wait_for_exit(LIMIT).code().is_some());
}

#[test]
fn samples_of_a_metric_are_added_up() {
    let page = "# TYPE a counter\na{t=\"x\",p=\"0\"} 2\na{t=\"y\",p=\"0\"} 3\nab{t=\"x\"} 50\nc 1e3\n";
    assert_eq!(sum_of(page, "a", &[]), Some(5.0));
    assert_eq!(sum_of(page, "a", &["t=\"x\"", "p=\"0\""]), Some(2.0));
    assert_eq!(sum_of(page, "c", &[]), Some(1000.0));
    assert_eq!(sum_of(page, "d", &[]), None);
}

/// Starts a process that would live for an hour, says so, and waits to be killed.
#[test]
#[ignore = "the child process of a_killed_test_run_leaves_nothing_behind"]
fn child_that_is_killed() {
    let dir = guard::temp_dir("orphan");
    let orphan = shell("sleep 3600 & sleep 3600");
    println!("orphan={} dir={}", orphan.pid(), dir.path().display());
    orphan.wait_for_exit(Duration::from_hours(1));
}

#[test]
fn a_killed_test_run_leaves_nothing_behind() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "harness_smoke::child_that_is_killed", "--ignored", "--nocapture"]);
    let run = Process::start("a test run", &mut command);
    let line = run.wait_for_line("orphan=", LIMIT);
    let (_, told) = line.split_once("orphan=").unwrap();
    let (orphan, dir) = told.split_once(" dir=").unwrap();
    let orphan: u32 = orphan.parse().unwrap();
    assert!(state(orphan).is_some() && Path::new(dir).is_dir());

    run.signal(Signal::Kill);
    assert!(!run.wait_for_exit(LIMIT).success());
    wait::until_ok(LIMIT, "the guard's work", || match (state(orphan), Path::new(dir).exists()) {
        (None | Some('Z'), false) => Ok(()),
        seen => Err(format!("{seen:?}")),
    });
}

/// The state letter of a process as Linux shows it; none when there is no such process.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

//! Counts by valgrind's callgrind: this very program is run under it, once for each step.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::baseline::Counts;
use crate::counted::{EVENTS, STEPS};

/// The argument with which this program runs the steps, and nothing else.
pub(crate) const RUN_THE_STEPS: &str = "--run-the-steps";

/// Counts each step. The profiles stay in `profiles`, a file a step, for `callgrind_annotate`.
pub(crate) fn count(profiles: &Path) -> Result<Counts, Box<dyn Error>> {
    std::fs::create_dir_all(profiles)?;
    let mut counts = Counts { made_by: made_by()?, instructions_an_event: [].into() };
    for step in STEPS {
        let an_event = instructions(step, &profiles.join(step))? as f64 / EVENTS as f64;
        counts.instructions_an_event.insert(step.to_owned(), (an_event * 10.0).round() / 10.0);
    }
    Ok(counts)
}

/// Where the profiles are kept: beside the folder of the program.
pub(crate) fn profiles() -> Result<PathBuf, Box<dyn Error>> {
    let program = std::env::current_exe()?;
    Ok(program.ancestors().nth(2).ok_or("the program is in no target folder")?.join("instructions"))
}

fn instructions(step: &str, profile: &Path) -> Result<u64, Box<dyn Error>> {
    let mut valgrind = Command::new("valgrind");
    // Nothing else of the environment, which has switches of the allocator and the loader.
    valgrind.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    valgrind.args(["--quiet", "--tool=callgrind"]);
    valgrind.arg(format!("--callgrind-out-file={}", profile.display()));
    valgrind.arg(format!("--toggle-collect=instructions::counted::{step}"));
    text_of(valgrind.arg(std::env::current_exe()?).arg(RUN_THE_STEPS))?;
    let text = std::fs::read_to_string(profile)?;
    let summary = text.lines().find_map(|line| line.strip_prefix("summary: "));
    match summary.ok_or("callgrind has written no summary")?.trim().parse()? {
        0 => Err(format!("callgrind has met no function instructions::counted::{step}").into()),
        counted => Ok(counted),
    }
}

/// What else than the source decides the counts. Without AVX2 the C library copies and compares by other code.
fn made_by() -> Result<String, Box<dyn Error>> {
    let rustc = text_of(Command::new("rustc").arg("--version"))?;
    let valgrind = text_of(Command::new("valgrind").arg("--version"))?;
    let libc = text_of(Command::new("getconf").arg("GNU_LIBC_VERSION"))?;
    let rustc = rustc.split(" (").next().unwrap_or_default();
    let avx2 = std::fs::read_to_string("/proc/cpuinfo")?.contains(" avx2 ");
    let processor = if avx2 { " with AVX2" } else { "" };
    Ok(format!("{rustc}, {}, {}, {}{processor}", valgrind.trim(), libc.trim(), std::env::consts::ARCH))
}

fn text_of(command: &mut Command) -> Result<String, Box<dyn Error>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("{name} cannot be started ({error}); scripts/setup.sh test installs it"))?;
    if !output.status.success() {
        return Err(format!("{name}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

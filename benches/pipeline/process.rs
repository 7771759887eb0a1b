//! CPU time and memory of a process, from /proc.

use std::time::Duration;

/// The kernel's unit of CPU time in /proc: USER_HZ, which is 100 on every platform of Linux.
const TICKS_PER_SECOND: u32 = 100;

/// CPU time that a process has used so far, all of its threads, in user and kernel mode.
pub(crate) fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The name, in parentheses, may hold anything; field 3 follows it.
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields[field - 3].parse::<u32>().expect("a number of ticks");
    Duration::from_secs(1) * (ticks(14) + ticks(15)) / TICKS_PER_SECOND
}

/// The highest resident set of a process so far, MiB.
pub(crate) fn peak_mib(pid: u32) -> f64 {
    status(pid, "VmHWM:")
}

/// The same; `None` of a process that has ended.
pub(crate) fn peak_mib_of_running(pid: u32) -> Option<f64> {
    read_status(pid, "VmHWM:")
}

/// The resident set of a process now, MiB.
pub(crate) fn resident_mib(pid: u32) -> f64 {
    status(pid, "VmRSS:")
}

fn status(pid: u32, field: &str) -> f64 {
    read_status(pid, field).expect("the process runs and has memory")
}

fn read_status(pid: u32, field: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib = line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok());
    Some(kib.expect("a number of KiB") / 1024.0)
}

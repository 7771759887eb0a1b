//! CPU time and memory of a process, from /proc.

/// CPU seconds that a process has used so far, in user and system mode.
pub(crate) fn cpu_s(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    let fields = stat.rsplit_once(')').expect("the name is in parentheses").1;
    let ticks: u32 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u32>().expect("a number"))
        .sum();
    // Linux reports in hundredths of a second, independent of its own clock rate.
    f64::from(ticks) / 100.0
}

/// One memory figure of the process, such as `VmRSS` (current) or `VmHWM` (peak), MB.
pub(crate) fn memory_mb(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .expect("Linux tells it");
    let kilobytes: u64 =
        line.trim().trim_end_matches(" kB").parse().expect("a number of kilobytes");
    kilobytes / 1024
}

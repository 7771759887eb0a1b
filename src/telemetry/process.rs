//! What this process uses, under the names that Prometheus' client libraries give it. Read when it
//! is asked for; on systems without `/proc` only the start is known.

use std::fs;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

const CPU_SECONDS: &str = "process_cpu_seconds_total";
const RESIDENT_BYTES: &str = "process_resident_memory_bytes";
const VIRTUAL_BYTES: &str = "process_virtual_memory_bytes";
const THREADS: &str = "process_threads";
const OPEN_FILES: &str = "process_open_fds";
const OPEN_FILES_MAX: &str = "process_max_fds";
const START: &str = "process_start_time_seconds";

/// Linux tells processor time in hundredths of a second, whatever its own tick is.
const TICKS_PER_SECOND: u64 = 100;

/// When the process began to record.
static STARTED: OnceLock<f64> = OnceLock::new();

/// Describes the metrics to the exporter.
pub(super) fn describe() {
    describe_counter!(CPU_SECONDS, Unit::Seconds, "Processor time used, of user and system");
    describe_gauge!(RESIDENT_BYTES, Unit::Bytes, "Memory that is resident");
    describe_gauge!(VIRTUAL_BYTES, Unit::Bytes, "Memory that is mapped");
    describe_gauge!(THREADS, "Threads");
    describe_gauge!(OPEN_FILES, "Open file descriptors");
    describe_gauge!(OPEN_FILES_MAX, "File descriptors that may be open");
    describe_gauge!(START, Unit::Seconds, "Start of the process, seconds since 1970 UTC");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    STARTED.get_or_init(|| now.as_secs_f64());
}

/// Reads them.
pub(super) fn collect() {
    if let Some(started) = STARTED.get() {
        gauge!(START).set(*started);
    }
    if let Some(ticks) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(cpu_ticks) {
        // The exporter's counters are whole numbers.
        counter!(CPU_SECONDS).absolute(ticks / TICKS_PER_SECOND);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for (name, field, factor) in [
        (RESIDENT_BYTES, "VmRSS", 1_024),
        (VIRTUAL_BYTES, "VmSize", 1_024),
        (THREADS, "Threads", 1),
    ] {
        if let Some(value) = first_number(&status, field) {
            gauge!(name).set((value * factor) as f64);
        }
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        gauge!(OPEN_FILES).set(files.count() as f64);
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    if let Some(limit) = first_number(&limits, "Max open files") {
        gauge!(OPEN_FILES_MAX).set(limit as f64);
    }
}

/// Ticks of user and system time: the 14th and 15th field. The second one, the program's name in
/// parentheses, may contain blanks.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    Some(times.next()?.ok()? + times.next()?.ok()?)
}

/// The first number of the line that begins with `field`.
fn first_number(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_where_linux_has_them() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194304 9 0 0 0 250 150 0 0 20 0 9 0 100 1 2 3";
        assert_eq!(cpu_ticks(stat), Some(400));
        assert_eq!(cpu_ticks("7 (a) S"), None);
        let status = "Name:\tseatmeter\nVmRSS:\t   1234 kB\nThreads:\t9\n";
        assert_eq!(first_number(status, "VmRSS"), Some(1_234));
        assert_eq!(first_number(status, "Threads"), Some(9));
        assert_eq!(first_number(status, "VmSize"), None);
        let limits = "Max open files            1024                 4096                 files\n";
        assert_eq!(first_number(limits, "Max open files"), Some(1_024));
    }
}

//! A worker's process that cannot go on ends with a clear message, and the next one continues.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use super::{SOON, hurry};
use crate::counting::{STOP_TIMEOUT, Setup, Writer};
use crate::support::program::take_environment;
use crate::support::{Program, eventually, signal};

/// A second member with the same static identity makes the Kafka client of the first one fail for
/// good.
#[test]
fn a_client_that_fails_for_good_ends_the_process() {
    let mut setup = Setup::new(2);
    if setup.kafka.is_mock() {
        return;
    }
    hurry(&mut setup);
    setup.set("KAFKA__PROPERTIES__GROUP_INSTANCE_ID", "the-same");
    let mut writer = Writer::new(51);
    setup.produce(&writer.write(1_000));
    let mut first = setup.joined_worker();
    setup.check(&writer);
    let mut second = setup.joined_worker();
    assert_eq!(first.wait(SOON).code(), Some(1));
    let said = first.stderr();
    let last = said.lines().last().unwrap();
    assert!(
        last.contains("the Kafka client failed for good") && last.contains("restart to go on"),
        "{said}"
    );
    setup.produce(&writer.write(1_000));
    setup.check(&writer);
    assert!(second.terminate(STOP_TIMEOUT).success());
}

/// A log that is not read blocks its writers. Those must not be the threads that count or that end
/// the process.
#[test]
fn a_log_that_nobody_reads_keeps_a_worker_from_nothing() {
    let mut setup = Setup::new(2);
    setup.set("KAFKA__PROPERTIES__DEBUG", "all");
    setup.set("LOG__FILTER", "trace");
    setup.set("INGEST__FLUSH_INTERVAL_MS", 50);
    let mut writer = Writer::new(52);
    setup.produce(&writer.write(1_000));
    let mut command = setup.command(&["worker"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut worker = Killed(command.spawn().unwrap());
    let mut lines = BufReader::new(worker.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let is_told =
        |line: String| Some(line.split_once("listening")?.1.split_once("address=")?.1.to_owned());
    let address = lines.find_map(is_told).unwrap();
    assert!(lines.any(|line| line.contains("librdkafka")), "`debug` is passed on");
    // From here on the log is not read.
    eventually("the log is full", SOON, || {
        setup.produce(&writer.write(20));
        let metrics = ureq::get(format!("http://{address}/metrics"))
            .call()
            .unwrap()
            .body_mut()
            .read_to_string()
            .unwrap();
        metrics.contains("\nseatmeter_lost_log_lines_total").then_some(())
    });
    setup.produce(&writer.write(1_000));
    setup.check(&writer);
    signal(worker.0.id(), "TERM");
    let ended = eventually("the worker ends", STOP_TIMEOUT, || worker.0.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
}

/// Runs the program (the arguments from the third on) and, once standard input names it, stops one
/// of its threads, as a debugger does, and says so; ends as the program does. The first two
/// arguments are the numbers of the system call `ptrace` and of its request PTRACE_SEIZE; 0x4207 is
/// PTRACE_INTERRUPT, 0x40000000 is __WALL, since a traced thread is waited for on its own. There is
/// no simpler way to make a thread hang from outside.
const STOPPING_A_THREAD: &str = r#"
    use strict;
    my ($ptrace, $seize) = (shift() + 0, shift() + 0);
    my $child = fork() // die;
    exec @ARGV or die if $child == 0;
    chomp(my $name = <STDIN>);
    for my $path (glob "/proc/$child/task/*") {
        open(my $comm, "<", "$path/comm") or next;
        chomp(my $thread = <$comm>);
        next if $thread ne $name;
        my ($id) = $path =~ /(\d+)$/;
        syscall($ptrace, $seize, $id + 0, 0, 0) == 0 or die "cannot trace: $!";
        syscall($ptrace, 0x4207, $id + 0, 0, 0) == 0 or die "cannot stop: $!";
        $| = 1;
        print "stopped $name\n";
    }
    while ((my $ended = waitpid(-1, 0x40000000)) > 0) {
        exit($? >> 8) if $ended == $child && !($? & 127);
    }
    die "it was killed";
"#;

/// A worker thread hangs, while all others go on and the group keeps the member.
#[test]
fn a_stuck_thread_ends_the_process() {
    let mut setup = Setup::new(2);
    hurry(&mut setup);
    setup.set("INGEST__WATCHDOG_TIMEOUT_MS", 2_000);
    let mut writer = Writer::new(53);
    setup.produce(&writer.write(1_000));
    let worker = setup.command(&["worker"]);
    let mut command = Command::new("perl");
    command.args([
        "-e",
        STOPPING_A_THREAD,
        &libc::SYS_ptrace.to_string(),
        &libc::PTRACE_SEIZE.to_string(),
    ]);
    command.arg(worker.get_program()).args(worker.get_args());
    take_environment(&mut command, &worker);
    let (told, mut tell) = std::io::pipe().unwrap();
    let mut stuck = Program::spawn_with(command.stdin(told));
    setup.check(&writer);
    writeln!(tell, "worker-0").unwrap();
    stuck.wait_for_line("stopped worker-0", SOON);
    setup.produce(&writer.write(1_000));
    let ended = stuck.wait(SOON);
    let said = stuck.stderr();
    assert_eq!(ended.code(), Some(1), "{said}");
    assert!(
        said.contains("thread worker-0 has shown no sign of life for 2 s; restart to go on"),
        "{said}"
    );
    let mut worker = setup.worker();
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

/// A process that ends with the test, however the test ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It has usually ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

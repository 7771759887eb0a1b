//! A full disk under the engine. The engine ends rather than acknowledge what is not written; the
//! worker waits for it, reports why, and writes unacknowledged rows again once the engine is back
//! with room to write.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::SOON;
use crate::counting::{STOP_TIMEOUT, Setup, Writer, ask};
use crate::support::engine::{PASSWORD, exe};
use crate::support::{Database, Kafka, Program, is_required, unique};

/// Exit status of a shell that could not mount.
const NO_MOUNT: i32 = 99;

/// Runs the engine (the arguments) on a small disk, which is full from the creation of the file
/// `fill` until that of `room`; if the engine has ended by then, starts it again. In separate
/// namespaces mounting needs no root, and all processes end together.
const ON_A_SMALL_DISK: &str = r#"
    folder=$1; shift
    mount -t tmpfs -o size=96m tmpfs "$folder/disk" || exit 99
    wait_for() { until [ -e "$folder/$1" ]; do sleep 0.1; done; }
    { wait_for fill; cat /dev/zero > "$folder/disk/ballast"
      wait_for room; rm "$folder/disk/ballast"; } 2>/dev/null &
    "$@"
    wait_for room
    sleep 0.5
    "$@"
"#;

/// The engine as arguments, on a fixed port.
fn engine_arguments(data: &Path, listen: &str) -> Vec<String> {
    let library = seatmeter::embedded::provision::engine_library(None).unwrap();
    let [exe, data, library] =
        [exe(), data, &library].map(|path| path.to_str().unwrap().to_owned());
    [
        &exe,
        "clickhouse",
        "--listen",
        listen,
        "--data-dir",
        &data,
        "--library",
        &library,
        "--password",
        PASSWORD,
    ]
    .map(str::to_owned)
    .to_vec()
}

/// An address that was free a moment ago.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn setup_on(listen: &str) -> Setup<'static> {
    let database = Database::new(format!("http://{listen}"), unique("test"));
    Setup::between(Kafka::shared(), database, 2)
}

#[test]
fn a_full_disk_under_the_engine_loses_nothing() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let listen = free_address();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"]);
    command.args(["sh", "-c", ON_A_SMALL_DISK, "sh"]).arg(folder.path());
    let mut engine = Program::spawn(command.args(engine_arguments(&disk.join("data"), &listen)));
    std::thread::sleep(Duration::from_millis(300));
    if !engine.is_running() && engine.wait(SOON).code() == Some(NO_MOUNT) {
        assert!(
            !is_required("SEATMETER_REQUIRE_MOUNT"),
            "a disk has to be mounted here: {}",
            engine.stderr()
        );
        // Not eprintln!, which is captured while tests pass.
        let _ = writeln!(
            std::io::stderr(),
            "WARNING: no full disk was tested, for none can be mounted here"
        );
        return;
    }
    engine.wait_for_line("listening on ", SOON);
    let setup = setup_on(&listen);
    let mut writer = Writer::new(53);
    setup.produce(&writer.write(1_000));
    let mut worker = setup.worker();
    setup.check(&writer);

    File::create(folder.path().join("fill")).unwrap();
    setup.produce(&writer.write(2_000));
    setup.produce(&writer.write_large_rejects(100));
    worker.wait_for_line("cannot write to ClickHouse, trying again", SOON);
    let (status, readiness) = ask(&mut worker, "/readyz");
    assert!(
        status == 503 && readiness.contains("cannot write to ClickHouse"),
        "{status} {readiness}"
    );
    std::thread::sleep(Duration::from_secs(2));
    assert!(setup_is_behind(&setup), "nothing can have been written to a full disk");
    File::create(folder.path().join("room")).unwrap();
    setup.produce(&writer.write(1_000));
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

/// Whether progress is behind the log or cannot be queried.
fn setup_is_behind(setup: &Setup<'_>) -> bool {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = format!("{}/?database={}", setup.database.url, setup.database.name);
    let Ok(mut answer) = agent
        .post(url)
        .header("X-ClickHouse-Key", PASSWORD)
        .send("SELECT sum(next_offset) FROM ingest_progress")
    else {
        return true;
    };
    answer
        .body_mut()
        .read_to_string()
        .unwrap()
        .trim()
        .parse::<u64>()
        .is_ok_and(|passed| passed < setup.log_ends())
}

/// The same with a limit on the size of files, which needs no mount: a write fails in the middle of
/// a file.
#[test]
fn writes_that_fail_under_the_engine_lose_nothing() {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let listen = free_address();
    let start = |preparation: &str| {
        let script = format!("{preparation}; exec \"$@\"");
        let mut command = Command::new("sh");
        let command =
            command.args(["-c", &script, "sh"]).args(engine_arguments(data.path(), &listen));
        let mut engine = Program::spawn(command);
        engine.wait_for_line("listening on ", SOON);
        engine
    };
    let mut engine = start("true");
    let setup = setup_on(&listen);
    let mut writer = Writer::new(54);
    setup.produce(&writer.write(1_000));
    let mut worker = setup.worker();
    setup.check(&writer);
    assert!(engine.terminate(STOP_TIMEOUT).success());

    let mut limited = start("ulimit -f 2048; trap '' XFSZ");
    setup.produce(&writer.write(1_000));
    setup.produce(&writer.write_large_rejects(200));
    assert_eq!(limited.wait(SOON).code(), Some(1));
    worker.wait_for_line("cannot write to ClickHouse, trying again", SOON);
    let _engine = start("true");
    setup.produce(&writer.write(1_000));
    setup.check(&writer);
    assert!(worker.terminate(STOP_TIMEOUT).success());
}

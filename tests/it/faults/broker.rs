//! Faults of brokers and of the network to them.

use std::time::Duration;

use super::{SOON, hurry};
use crate::counting::{STOP_TIMEOUT, Setup, Writer, ask};
use crate::support::tcp_proxy::TcpProxy;
use crate::support::{Kafka, Program, engine, eventually};

#[test]
fn brokers_that_cannot_be_reached_are_waited_for() {
    let mut setup = Setup::new(1);
    setup.set("KAFKA__BROKERS", "127.0.0.1:1");
    let mut worker: Program = setup.worker();
    let line = worker.wait_for_line("cannot read from Kafka, trying again", SOON);
    assert!(line.contains("127.0.0.1:1"), "{line}");
    assert!(worker.terminate(STOP_TIMEOUT).success());
    assert!(!worker.stderr().contains("works again"), "it never did: {}", worker.stderr());
}

/// A broker that is killed and restarted, whose connections are cut, that cannot be reached for
/// longer than the session timeout, and that is frozen for as long.
#[test]
fn brokers_may_die_freeze_and_be_cut_off() {
    let proxy = TcpProxy::start();
    let kafka = Kafka::start_behind(&proxy);
    if kafka.is_mock() {
        return;
    }
    let mut setup = Setup::between(&kafka, engine(), 2);
    hurry(&mut setup);
    let mut writer = Writer::new(23);
    setup.produce(&writer.write(1_000));
    let mut workers = [setup.joined_worker(), setup.joined_worker()];
    setup.check(&writer);

    // Nothing is produced while connections break, because the producer itself might write it
    // twice.
    setup.produce(&writer.write(500));
    for _ in 0..10 {
        proxy.cut();
        std::thread::sleep(Duration::from_millis(100));
    }
    setup.produce(&writer.write(500));
    setup.check(&writer);

    setup.produce(&writer.write(1_000));
    proxy.close();
    std::thread::sleep(Duration::from_secs(5));
    proxy.open();
    setup.produce(&writer.write(500));
    setup.check(&writer);

    setup.produce(&writer.write(1_000));
    kafka.signal("STOP");
    std::thread::sleep(Duration::from_secs(5));
    kafka.signal("CONT");
    setup.produce(&writer.write(500));
    setup.check(&writer);

    setup.produce(&writer.write(1_000));
    kafka.kill();
    eventually("readiness says why", SOON, || {
        let (status, readiness) = ask(&mut workers[0], "/readyz");
        (status == 503 && readiness.contains("cannot read from Kafka")).then_some(())
    });
    kafka.restart();
    setup.produce(&writer.write(1_000));
    setup.check(&writer);
    for worker in &mut workers {
        assert!(worker.terminate(STOP_TIMEOUT).success(), "{}", worker.stderr());
    }
}

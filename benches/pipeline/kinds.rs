//! What a worker spends by the kind of its users' ids, and by the codec of the log.

use std::collections::HashMap;

use seatmeter::generate::Generator;
use xxhash_rust::xxh3::xxh3_128;

use crate::backlog::{Backlog, CODEC, Population, filled_with, jsons, large_account};
use crate::worker::{Cost, Engine, Worker, count};

const PARTITIONS: u32 = 4;
const ID_EVENTS: u64 = 3_000_000;
const CODEC_EVENTS: u64 = 2_000_000;

/// Makes the id of a user, as JSON.
type MakeId = fn(u32) -> String;

/// The member that holds a user's id, as the generator writes it.
const USER_ID: &str = "\"user_id\":";

/// One account of 100,000 users, whose ids are numbers, short texts or UUIDs.
pub(crate) fn ids() {
    println!("ids: {ID_EVENTS} events of one account of 100,000 users");
    print_header("user ids");
    let engine = Engine::start();
    let kinds: [(&str, MakeId); 3] =
        [("numbers", number), ("short texts", short_text), ("UUIDs", uuid)];
    for (name, id) in kinds {
        let lines = with_user_ids(large_account(), id);
        print_row(&engine, name, &filled_with(lines, PARTITIONS, ID_EVENTS, CODEC, |_| None));
    }
}

/// Codecs of the log.
pub(crate) fn codecs() {
    println!("codecs: {CODEC_EVENTS} events, 100,000 users in 2,000 organizations");
    print_header("codec");
    let engine = Engine::start();
    for codec in ["none", "lz4", "zstd"] {
        let lines = jsons(Population::CLUSTER.events());
        print_row(&engine, codec, &filled_with(lines, PARTITIONS, CODEC_EVENTS, codec, |_| None));
    }
}

fn number(user: u32) -> String {
    user.to_string()
}

fn short_text(user: u32) -> String {
    format!("\"u-{user:06}\"")
}

/// Always the same of a user, and else like a random one.
fn uuid(user: u32) -> String {
    let random = format!("{:032x}", xxh3_128(&user.to_le_bytes()));
    let part = |from: usize, to: usize| &random[from..to];
    format!(
        "\"{}-{}-4{}-a{}-{}\"",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    )
}

/// The events with other ids of users, made of a number for each.
fn with_user_ids(lines: Generator, id: MakeId) -> impl Iterator<Item = Vec<u8>> {
    let mut numbers: HashMap<String, u32> = HashMap::new();
    lines.map(move |line| {
        // A malformed line is no text, or has no such member.
        let Ok(text) = std::str::from_utf8(&line.json) else { return line.json };
        let Some((before, rest)) = text.split_once(USER_ID) else { return line.json.clone() };
        let end = rest.find([',', '}']).unwrap_or(rest.len());
        let (user, after) = rest.split_at(end);
        let next = u32::try_from(numbers.len()).expect("fewer users than that");
        let number = *numbers.entry(user.to_owned()).or_insert(next);
        format!("{before}{USER_ID}{}{after}", id(number)).into_bytes()
    })
}

fn print_header(what: &str) {
    println!(
        "| {what} | bytes an event | CPU s per million events | events/s | memory, MiB | s in \
        flushes | engine's CPU s per million |"
    );
    println!("|---|---|---|---|---|---|---|");
}

fn print_row(engine: &Engine, what: &str, backlog: &Backlog) {
    let database = engine.database();
    let mut worker = Worker::start(engine, &database, &backlog.topic);
    let cost = worker.wait_for(backlog.events);
    let Cost { engine_cpu, elapsed, peak_mib, .. } = cost;
    println!(
        "| {what} | {} | {:.2} | {:.0} | {peak_mib:.0} | {:.1} | {:.2} |",
        backlog.bytes / backlog.events,
        cost.per_million(backlog.events),
        count(backlog.events) / elapsed.as_secs_f64(),
        worker.metric("seatmeter_flush_duration_seconds_sum"),
        engine_cpu.as_secs_f64() * 1e6 / count(backlog.events)
    );
    worker.stop();
}

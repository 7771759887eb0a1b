//! Every view and every recipe under the settings that a profile may have: the same answer, or an
//! error that says so.
#![allow(
    clippy::print_stdout,
    reason = "who tries all settings sees how far it is, and which of them make errors"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use seatmeter::core::audit::{AuditedHour, HourCounts, RecordHour};
use seatmeter::core::rollup::{Field, LaneRows, Source};
use seatmeter::store::{PINNED, ProgressRow, View, views};

use super::{acme, assigned, described, organization, recipes, second_source, seen, used};
use crate::store::{TestDatabase, rows, source};
use crate::support::alerts::{AlertEventRow, FOUND_AT_MS, storing};
use crate::support::engine::PASSWORD;
use crate::support::seat_intervals;

/// Settings, by prefix of their names, that do not affect the answer, and why.
const NOT_ABOUT_ANSWERS: [(&str, &str); 6] = [
    ("output_format_", "says how a result is written"),
    ("date_time_64_output_format_", "says how a result is written"),
    ("date_time_output_format", "says how a result is written"),
    ("interval_output_format", "says how a result is written"),
    ("send_logs_level", "says what is logged"),
    ("discard_query_data", "asks for no result"),
];

/// Types of settings that are neither Boolean nor enumerated.
const OTHER_TYPES: &str = "type NOT LIKE '%Int%' AND type NOT IN \
     ('Char', 'Double', 'Float', 'FloatAuto', 'Map', 'MaxThreads', 'Milliseconds', 'Seconds', \
     'String', 'Timezone', 'URI')";

/// A value that no setting has.
const NO_VALUE: &str = "no-such-value";

/// `cargo test` tries one in this many of the settings that no view pins.
const SAMPLE_STEP: usize = 150;

/// Settings that are tried together.
const GROUP: usize = 16;

/// How long an answer may take: a setting that makes it hang is reported.
const PATIENCE: Duration = Duration::from_secs(120);

/// Requests at once.
const THREADS: usize = 4;

/// Name and value.
type Setting = (String, String);

/// A statement of an analyst's.
pub(super) struct Question {
    pub(super) name: String,
    /// The database that it is put to.
    pub(super) database: String,
    pub(super) sql: String,
    /// Whether the statement orders its rows.
    pub(super) is_ordered: bool,
}

/// A database to ask.
pub(super) struct Analyst {
    url: String,
    pub(super) questions: Vec<Question>,
}

impl Analyst {
    /// The engine's result of a statement on a database under settings: rows or an error.
    pub(super) fn post(
        &self,
        database: &str,
        sql: &str,
        settings: &[Setting],
    ) -> Result<String, String> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build()
            .into();
        let mut request =
            agent.post(&self.url).header("X-ClickHouse-Key", PASSWORD).query("database", database);
        for (name, value) in settings {
            request = request.query(name, value);
        }
        let mut response = request.send(sql).map_err(|error| format!("no answer: {error}"))?;
        let text = response.body_mut().with_config().limit(1 << 24).read_to_string();
        let text = text.map_err(|error| format!("no whole answer: {error}"))?;
        if response.status() == 200 { Ok(text) } else { Err(text) }
    }

    /// The rows of an answer, in an order that does not depend on the engine.
    fn ask(&self, question: &Question, settings: &[Setting]) -> Result<Vec<String>, String> {
        let text = self.post(&question.database, &question.sql, settings)?;
        let rows: Vec<String> = text.lines().map(str::to_owned).collect();
        if question.is_ordered {
            return Ok(rows);
        }
        // Some views say of their rows that they may be there repeatedly.
        Ok(rows.into_iter().collect::<BTreeSet<_>>().into_iter().collect())
    }

    fn lines(&self, sql: &str) -> Vec<String> {
        self.post("system", &format!("{sql} FORMAT TabSeparatedRaw"), &[])
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Every other value of every Boolean and enumerated setting.
    fn other_values(&self) -> Vec<Setting> {
        let sql = format!(
            "SELECT name, value, type FROM system.settings WHERE NOT is_obsolete AND {OTHER_TYPES} \
            ORDER BY name"
        );
        // Common on upgraded servers: the defaults of an older release.
        let mut all = vec![("compatibility".to_owned(), "24.8".to_owned())];
        for line in self.lines(&sql) {
            let [name, value, kind] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            if NOT_ABOUT_ANSWERS.iter().any(|(prefix, _)| name.starts_with(prefix)) {
                continue;
            }
            let values = match kind {
                "Bool" | "BoolAuto" => vec!["0".to_owned(), "1".to_owned()],
                _ => self.values_of(name),
            };
            let is_other = |other: &String| !other.eq_ignore_ascii_case(value);
            all.extend(values.into_iter().filter(is_other).map(|other| (name.to_owned(), other)));
        }
        all
    }

    /// The values of an enumerated setting, as the engine names them when it is given another.
    fn values_of(&self, name: &str) -> Vec<String> {
        let error = self
            .post("system", "SELECT 1", &[(name.to_owned(), NO_VALUE.to_owned())])
            .expect_err(name);
        let (_, list) =
            error.split_once("Must be one of [").unwrap_or_else(|| panic!("{name}: {error}"));
        let (list, _) = list.split_once(']').unwrap();
        list.split(", ").map(|value| value.trim_matches('\'').to_owned()).collect()
    }

    /// Runs every statement under each group of settings.
    fn deviations(&self, groups: &[Vec<Setting>]) -> Deviations {
        let usual: Vec<_> =
            self.questions.iter().map(|question| self.ask(question, &[]).unwrap()).collect();
        for (question, rows) in self.questions.iter().zip(&usual) {
            // Rows of a single organization do not exist at the top level.
            let may_be_empty = question.name.contains("organization = ''");
            assert!(
                may_be_empty || !rows.is_empty(),
                "{} answers nothing, which no setting can change",
                question.name
            );
            assert_eq!(
                self.ask(question, &[]).as_ref(),
                Ok(rows),
                "{} is not stable",
                question.name
            );
        }
        let next = AtomicUsize::new(0);
        let work = || {
            let mut found = Deviations::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(group) = groups.get(number) else { break };
                self.try_together(group, &usual, &mut found);
                println!("{} of {} groups", number + 1, groups.len());
            }
            found
        };
        let mut all = Deviations::default();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
            for thread in threads {
                let found = thread.join().unwrap();
                all.different.extend(found.different);
                all.errors.extend(found.errors);
            }
        });
        all
    }

    /// Runs every statement under all of these settings at once. If any answer differs, bisects the
    /// settings until one is left.
    fn try_together(&self, settings: &[Setting], usual: &[Vec<String>], found: &mut Deviations) {
        for (question, expected) in self.questions.iter().zip(usual) {
            let answer = self.ask(question, settings);
            if answer.as_ref() == Ok(expected) {
                continue;
            }
            let [(name, value)] = settings else {
                let (one, other) = settings.split_at(settings.len() / 2);
                self.try_together(one, usual, found);
                return self.try_together(other, usual, found);
            };
            match answer {
                Err(error) if error.starts_with("Code: ") => {
                    *found.errors.entry(format!("{name} = {value}")).or_default() += 1;
                }
                answer => found.different.push(format!(
                    "{name} = {value}: {} answers\n{answer:#?}\nand not\n{expected:#?}",
                    question.name
                )),
            }
        }
    }
}

/// Effects of settings on answers.
#[derive(Default)]
struct Deviations {
    /// Answers that differ.
    different: Vec<String>,
    /// Number of statements that failed, by setting.
    errors: BTreeMap<String, usize>,
}

impl Deviations {
    #[track_caller]
    #[expect(
        clippy::print_stderr,
        reason = "which settings end in errors is worth reading, and no failure"
    )]
    fn check(&self, analyst: &Analyst) {
        for (setting, count) in &self.errors {
            eprintln!("{setting}: an error to {count} of {} questions", analyst.questions.len());
        }
        assert!(
            self.different.is_empty(),
            "{} differ:\n{}",
            self.different.len(),
            self.different.join("\n\n")
        );
    }
}

/// A tree of some depth with a circle beside it, and seats in it.
pub(super) fn deep_tree(source: &Source) -> LaneRows {
    let mut rows = rows(source, 1_000);
    let links = [("44", "43"), ("45", "44"), ("c1", "c2"), ("c2", "c1"), ("orphan", "unknown")];
    rows.directory = links
        .iter()
        .map(|(below, above)| described(source, organization(below), Field::Parent, above))
        .collect();
    rows.organizations = links.iter().map(|(below, _)| seen("acme", Some(below))).collect();
    rows.seat_facts = vec![
        assigned(source, 20, "45", "u-deep", 5, None),
        assigned(source, 21, "c1", "1", 6, None),
    ];
    rows.seat_intervals = seat_intervals(&rows.seat_facts, &[used("45", "u-deep", 5, 7, 9)]);
    let hour = |hour, first_offset| AuditedHour {
        hour: RecordHour(hour),
        first_offset,
        counts: HourCounts { accepted: 5, checksum: u64::MAX, ..HourCounts::default() },
        upto: 1_000,
    };
    rows.audited_hours = vec![hour(500_000, 0), hour(500_001, 600)];
    rows
}

/// The statement that asks a view of a database for everything, for each of the organizations where
/// it takes one.
fn questions_about(
    analyst: &Analyst,
    database: &str,
    view: &str,
    organizations: &[&str],
) -> Vec<Question> {
    let text = analyst.lines(&format!(
        "SELECT replaceAll(create_table_query, '\n', ' ') FROM system.tables \
         WHERE database = '{database}' AND name = '{view}'"
    ));
    let mut parameters: Vec<&str> =
        text[0].split('{').skip(1).filter_map(|rest| Some(rest.split_once(':')?.0)).collect();
    parameters.sort_unstable();
    parameters.dedup();
    let has_organization = parameters.contains(&"organization");
    let variants = if has_organization { organizations } else { &organizations[..1] };
    let question = |organization: &&str| {
        let argument = |parameter: &&str| {
            let value = match *parameter {
                "account" => "'acme'".to_owned(),
                "organization" => format!("'{organization}'"),
                "project" => "''".to_owned(),
                "edges" => "['2026-02-01 00:00:00', '2026-03-01 00:00:00', '2026-03-09 00:00:00', \
                    '2026-05-01 00:00:00']"
                    .into(),
                "first_days" => "['2026-02-01', '2026-03-01', '2026-04-01']".to_owned(),
                "last_day" => "'2026-04-30'".to_owned(),
                "users" => "['1', 'u-ben']".to_owned(),
                other => panic!("{view} takes {other}: say here what it is asked with"),
            };
            format!("{parameter} = {value}")
        };
        let arguments: Vec<String> = parameters.iter().map(argument).collect();
        let from = if arguments.is_empty() {
            view.to_owned()
        } else {
            format!("{view}({})", arguments.join(", "))
        };
        let header = analyst
            .post(
                database,
                &format!("SELECT * FROM {from} LIMIT 0 FORMAT TabSeparatedWithNames"),
                &[],
            )
            .unwrap();
        let columns = header.trim_end().split('\t').map(|column| match column {
            "users" => "arraySort(bitmapToArray(users))".to_owned(),
            column => column.to_owned(),
        });
        let columns = columns.collect::<Vec<_>>().join(", ");
        Question {
            name: from.clone(),
            database: database.to_owned(),
            sql: format!("SELECT {columns} FROM {from}"),
            is_ordered: false,
        }
    };
    variants.iter().map(question).collect()
}

pub(super) async fn analyst(organizations: &[&str]) -> (TestDatabase, Analyst) {
    let database = TestDatabase::migrated().await;
    database.execute("SYSTEM STOP MERGES");
    let (store, seed) = (database.store(), database.store().user_key_seed().await.unwrap());
    // Two partitions that counted the account at once.
    database.execute(
        "INSERT INTO account_progress (account_id, source, upto, first_event, last_event) VALUES \
        ('acme', 'usage-events//0', 9, (1, 5), (8, 50)), \
         ('acme', 'usage-events//1', 7, (2, 6), (6, 60))",
    );
    // An alert that is open, with a second row by a former owner; and closed ones.
    let open = AlertEventRow::quota("acme", "42", "quota", "80");
    let again = AlertEventRow { stored_us: 5, id: "again".to_owned(), ..open.clone() };
    let pace = AlertEventRow::quota("acme", "43", "pace", "runs_out");
    let seats = AlertEventRow::seats("acme", "90");
    let closed =
        [pace.closed("ended", FOUND_AT_MS + 60_000), seats.closed("resolved", FOUND_AT_MS)];
    database.execute(&storing(&[vec![open, again, pace, seats], closed.into()].concat()));
    for _ in 0..2 {
        let lanes = [acme(&source(0), seed), second_source(&source(1)), deep_tree(&source(2))];
        store.write_rows(&lanes).await.unwrap();
        let progress = lanes.map(|lane| ProgressRow {
            high_watermark: lane.progress.next_offset,
            source: lane.source,
            progress: lane.progress,
            end_valid_for: std::time::Duration::from_secs(3_600),
            completes_flush: true,
        });
        store.write_progress(&progress).await.unwrap();
    }
    let url = format!(
        "{}/?default_format=JSONCompactEachRow&output_format_json_quote_64bit_integers=0",
        database.config().url
    );
    let mut analyst = Analyst { url, questions: Vec::new() };
    let (documented, internal) = (database.name(), database.config().internal_database());
    for View { name, is_documented, .. } in views() {
        let database = if is_documented { documented } else { &internal };
        let questions = questions_about(&analyst, database, &name, organizations);
        analyst.questions.extend(questions);
    }
    let recipes = recipes().into_iter().map(|(name, sql)| Question {
        name,
        database: documented.to_owned(),
        sql,
        is_ordered: true,
    });
    analyst.questions.extend(recipes);
    (database, analyst)
}

/// The settings that the views pin, at all other values, and some of the rest.
#[tokio::test]
async fn some_settings_change_no_answer() {
    let (_database, analyst) = analyst(&["42"]).await;
    let is_pinned = |(name, _): &Setting| PINNED.iter().any(|(pinned, _)| pinned == name);
    let (pinned, rest): (Vec<_>, Vec<_>) = analyst.other_values().into_iter().partition(is_pinned);
    assert_eq!(pinned.iter().map(|(name, _)| name).collect::<BTreeSet<_>>().len(), PINNED.len());
    assert!(rest.len() > 500, "{} values", rest.len());
    let mut groups: Vec<_> = pinned.into_iter().map(|setting| vec![setting]).collect();
    groups.push(rest.into_iter().step_by(SAMPLE_STEP).collect());
    analyst.deviations(&groups).check(&analyst);
}

/// All settings, in more than seven minutes.
#[tokio::test]
#[ignore = "takes seven minutes and more"]
async fn no_setting_changes_an_answer() {
    let (_database, analyst) = analyst(&["42", ""]).await;
    let settings = analyst.other_values();
    // The values of one setting are adjacent, and go to different groups.
    let count = settings.len().div_ceil(GROUP);
    let groups: Vec<Vec<Setting>> = (0..count)
        .map(|first| settings.iter().skip(first).step_by(count).cloned().collect())
        .collect();
    analyst.deviations(&groups).check(&analyst);
}

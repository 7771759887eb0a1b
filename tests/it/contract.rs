//! The event contract: `schemas/events` holds a JSON Schema, examples and rejects for each event
//! type, and the decoder, the schemas and these files must agree.
//!
//! A file in `examples` is one record's value, as it stands. A file in `rejects` is a list of
//! cases: the value is `event`, as it stands, or `text`, or `bytes_hex`, filled up with spaces to
//! `padded_to_bytes` if that is given; `beyond_schema` says why JSON Schema cannot tell that the
//! event is bad.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::{Registry, Validator};
use seatmeter::core::decode::{EVENT_TYPES, decode};
use seatmeter::core::event::{Decoded, Record, RejectReason};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

fn events_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/events")
}

/// The files of a folder with this ending, as (name without the ending, text), in order.
fn files(dir: &Path, ending: &str) -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| {
            (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
        })
        .map(|(name, text)| match name.strip_suffix(ending) {
            Some(stem) => (stem.to_owned(), text),
            None => panic!("{name} in {} does not end in {ending}", dir.display()),
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no files in {}", dir.display());
    files
}

/// An event that the decoder accepts.
pub(crate) struct Example {
    /// The file's name without its ending.
    pub(crate) name: String,
    /// The record's value.
    pub(crate) text: String,
    /// The record's key.
    pub(crate) key: String,
}

impl Example {
    /// A record of this event, at offset 0, without a timestamp.
    pub(crate) fn record(&self) -> Record<'_> {
        record_of(&self.text, &self.key)
    }

    fn event_type(&self) -> &str {
        type_of(&self.name)
    }
}

/// Every file in `examples`.
pub(crate) fn examples() -> Vec<Example> {
    let example = |(name, text): (String, String)| {
        let value: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let key = match &value["data"]["account_id"] {
            Value::String(id) => id.clone(),
            id => id.to_string(),
        };
        Example { name, text, key }
    };
    files(&events_dir().join("examples"), ".json").into_iter().map(example).collect()
}

fn record_of<'a>(text: &'a str, key: &'a str) -> Record<'a> {
    Record {
        offset: 0,
        timestamp_ms: None,
        key: Some(key.as_bytes()),
        payload: Some(text.as_bytes()),
    }
}

/// The event type that a file's name starts with.
fn type_of(file_name: &str) -> &str {
    let end = file_name.match_indices('.').nth(1).map_or(file_name.len(), |(at, _)| at);
    &file_name[..end]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reject {
    case: String,
    reason: String,
    path: String,
    key: Option<String>,
    timestamp_ms: Option<i64>,
    event: Option<Box<RawValue>>,
    text: Option<String>,
    bytes_hex: Option<String>,
    padded_to_bytes: Option<usize>,
    beyond_schema: Option<String>,
}

impl Reject {
    fn payload(&self) -> Vec<u8> {
        let mut payload = match (&self.event, &self.text, &self.bytes_hex) {
            (Some(event), None, None) => event.get().as_bytes().to_vec(),
            (None, Some(text), None) => text.as_bytes().to_vec(),
            (None, None, Some(hex)) => hex::decode(hex).unwrap(),
            _ => panic!("{}: not one of event, text and bytes_hex", self.case),
        };
        payload.resize(self.padded_to_bytes.unwrap_or(payload.len()), b' ');
        payload
    }
}

/// Every case in `rejects`, by file.
fn rejects() -> Vec<(String, Vec<Reject>)> {
    let parse = |(name, text): (String, String)| {
        let cases = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, cases)
    };
    files(&events_dir().join("rejects"), ".json").into_iter().map(parse).collect()
}

/// The schemas by event type, and `defs`.
fn schema_documents() -> BTreeMap<String, Value> {
    let parse = |(name, text): (String, String)| (name, serde_json::from_str(&text).unwrap());
    files(&events_dir(), ".schema.json").into_iter().map(parse).collect()
}

/// A validator per event type.
fn validators() -> BTreeMap<String, Validator> {
    let documents = schema_documents();
    let registry = Registry::new()
        .add("file:///events/defs.schema.json", &documents["defs"])
        .unwrap()
        .prepare()
        .unwrap();
    let validator = |(name, document): (&String, &Value)| {
        let validator = jsonschema::draft202012::options()
            .with_registry(&registry)
            .with_base_uri(format!("file:///events/{name}.schema.json"))
            .should_validate_formats(true)
            .build(document)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        (name.clone(), validator)
    };
    documents.iter().filter(|(name, _)| *name != "defs").map(validator).collect()
}

/// The schema of an event's `data`.
fn data_schema<'a>(documents: &'a BTreeMap<String, Value>, event_type: &str) -> &'a Value {
    let data = &documents[event_type]["properties"]["data"];
    match data["$ref"].as_str() {
        Some(reference) => documents["defs"].pointer(reference.split_once('#').unwrap().1).unwrap(),
        None => data,
    }
}

#[test]
fn every_event_type_has_a_schema_examples_and_rejects() {
    let types: BTreeSet<_> = EVENT_TYPES.map(str::to_owned).into();
    let schemas: BTreeSet<_> =
        schema_documents().into_keys().filter(|name| name != "defs").collect();
    assert_eq!(schemas, types);
    let with_examples: BTreeSet<_> =
        examples().iter().map(|example| example.event_type().to_owned()).collect();
    assert_eq!(with_examples, types);
    let general = ["envelope", "not-json"];
    let with_rejects: BTreeSet<_> = rejects()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| !general.contains(&name.as_str()))
        .collect();
    assert_eq!(with_rejects, types);
}

#[test]
fn every_schema_follows_draft_2020_12() {
    for (name, document) in schema_documents() {
        assert_eq!(document["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        jsonschema::draft202012::meta::validate(&document)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn every_example_is_valid_by_its_schema_and_no_other() {
    let validators = validators();
    for example in examples() {
        let value = serde_json::from_str(&example.text).unwrap();
        for (event_type, validator) in &validators {
            let errors: Vec<_> =
                validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert_eq!(
                errors.is_empty(),
                event_type == example.event_type(),
                "{} by {event_type}: {errors:?}",
                example.name
            );
        }
    }
}

#[test]
fn every_example_decodes_to_its_golden_event() {
    let decoded = |example: &Example| match decode(&example.record()) {
        Decoded::Event(event) => format!("{}\n    {event:?}\n", example.name),
        other => panic!("{}: {other:?}", example.name),
    };
    insta::assert_snapshot!("examples", examples().iter().map(decoded).collect::<String>());
}

#[test]
fn every_reject_gives_its_reason_and_path() {
    for (file, cases) in rejects() {
        for case in cases {
            let payload = case.payload();
            let record = Record {
                offset: 0,
                timestamp_ms: case.timestamp_ms,
                key: case.key.as_ref().map(|key| key.as_bytes()),
                payload: Some(&payload),
            };
            match decode(&record) {
                Decoded::Rejected(reject) => assert_eq!(
                    (reject.reason.as_str(), reject.path),
                    (case.reason.as_str(), case.path.as_str()),
                    "{file}: {}",
                    case.case
                ),
                other => panic!("{file}: {}: {other:?}", case.case),
            }
        }
    }
}

#[test]
fn no_two_rejects_are_the_same() {
    let mut seen = BTreeMap::new();
    for (file, cases) in rejects() {
        for case in cases {
            let record = (case.payload(), case.key, case.timestamp_ms);
            if let Some(other) = seen.insert(record, case.case.clone()) {
                panic!("{file}: {} is the same as {other}", case.case);
            }
        }
    }
}

#[test]
fn the_schemas_reject_what_they_can() {
    let validators = validators();
    for (file, cases) in rejects() {
        for case in cases {
            let Some(event) = &case.event else { continue };
            if case.padded_to_bytes.is_some() {
                continue;
            }
            let Ok(value) = serde_json::from_str::<Value>(event.get()) else {
                assert!(
                    case.beyond_schema.is_some(),
                    "{file}: {}: no value to serde_json",
                    case.case
                );
                continue;
            };
            let valid = match value["type"].as_str().and_then(|name| validators.get(name)) {
                Some(validator) => validator.is_valid(&value),
                None => validators.values().any(|validator| validator.is_valid(&value)),
            };
            assert_eq!(valid, case.beyond_schema.is_some(), "{file}: {}", case.case);
        }
    }
}

#[test]
fn the_rejects_cover_every_reason_and_every_field() {
    let rejects = rejects();
    let all: BTreeSet<_> =
        rejects.iter().flat_map(|(_, cases)| cases).map(|case| case.reason.as_str()).collect();
    assert_eq!(all, RejectReason::ALL.map(RejectReason::as_str).into());

    let has = |file: &str, reason: &str, path: &str| {
        let cases = rejects.iter().filter(|(name, _)| name == file).flat_map(|(_, cases)| cases);
        let found = cases.filter(|case| case.reason == reason && case.path == path).count();
        assert!(found > 0, "rejects/{file}.json has no {reason} of {path}");
    };
    for field in ["id", "source", "type", "time", "data"] {
        has("envelope", "missing_field", field);
        has("envelope", "invalid_field", field);
    }
    has("envelope", "invalid_field", "$key");
    let documents = schema_documents();
    for event_type in EVENT_TYPES {
        let schema = data_schema(&documents, event_type);
        for field in schema["required"].as_array().unwrap() {
            has(event_type, "missing_field", &format!("data.{}", field.as_str().unwrap()));
        }
        for field in
            schema["properties"].as_object().unwrap().keys().filter(|field| *field != "action")
        {
            has(event_type, "invalid_field", &format!("data.{field}"));
        }
    }
}

#[test]
fn the_readable_limits_of_the_schemas_are_those_of_the_decoder() {
    let documents = schema_documents();
    let base: BTreeMap<_, _> = EVENT_TYPES
        .iter()
        .map(|event_type| {
            let example =
                examples().into_iter().find(|example| example.event_type() == *event_type).unwrap();
            (*event_type, example)
        })
        .collect();
    let mut checked = 0;
    for event_type in EVENT_TYPES {
        for (field, schema) in
            data_schema(&documents, event_type)["properties"].as_object().unwrap()
        {
            let schema = match schema["$ref"].as_str() {
                Some(reference) => {
                    documents["defs"].pointer(reference.split_once('#').unwrap().1).unwrap()
                }
                None => schema,
            };
            let (Some(min), Some(max)) = (schema["minimum"].as_i64(), schema["maximum"].as_i64())
            else {
                continue;
            };
            let with = |number: i64| {
                let mut value: Value = serde_json::from_str(&base[event_type].text).unwrap();
                value["data"][field] = number.into();
                matches!(
                    decode(&record_of(&value.to_string(), &base[event_type].key)),
                    Decoded::Event(_)
                )
            };
            let good = [min - 1, min, max, max + 1].map(with);
            assert_eq!(
                good,
                [false, true, true, false],
                "{event_type}: {field} from {min} to {max}"
            );
            checked += 1;
        }
    }
    assert!(checked >= 7, "only {checked} fields have limits");
}

/// Replaces every number under a name that ends in `_id`, and of the other identifiers, by its
/// text.
fn with_ids_as_text(value: &mut Value) {
    for (name, field) in value["data"].as_object_mut().unwrap() {
        let is_id = name.ends_with("_id") || name == "plan" || name == "license_source";
        if is_id && field.is_number() {
            *field = Value::String(field.to_string());
        }
    }
}

#[test]
fn an_id_is_the_same_as_a_number_and_as_a_string() {
    let mut changed = BTreeSet::new();
    for example in examples() {
        let value: Value = serde_json::from_str(&example.text).unwrap();
        let mut with_text = value.clone();
        with_ids_as_text(&mut with_text);
        if with_text == value {
            continue;
        }
        let text = with_text.to_string();
        assert_eq!(
            decode(&record_of(&text, &example.key)),
            decode(&example.record()),
            "{}",
            example.name
        );
        changed.insert(example.event_type().to_owned());
    }
    assert_eq!(changed, EVENT_TYPES.map(str::to_owned).into(), "types with a number as an id");
}

//! Flat schemas: each report is described by one object that has all its fields.
//!
//! `#[serde(flatten)]` is described by `allOf`, nested where an envelope holds a report that itself
//! shares fields with others. Generators of clients lose the fields of such an answer, or make
//! classes of its parts. Here every `allOf` becomes the object that is sent, the envelope
//! `Answer_SomeReport` takes the name of its report, and parts that nothing refers to any more are
//! left out. All this is done to the finished document, so that a new report declares nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// Prefix of a reference to a schema.
const PREFIX: &str = "#/components/schemas/";

type Schemas = Map<String, Value>;

/// Makes the schemas of a document flat.
pub(super) fn flatten(document: &mut Value) {
    let Some(Value::Object(described)) =
        document.pointer_mut("/components/schemas").map(Value::take)
    else {
        return;
    };
    let parts = Parts { schemas: &described };
    let mut flat = Schemas::new();
    for (name, schema) in &described {
        let alternatives = parts.alternatives(schema);
        if schema.get("allOf").is_none() || alternatives.len() == 1 {
            flat.insert(name.clone(), parts.flat(schema));
            continue;
        }
        // An envelope of several reports becomes as many envelopes.
        let envelope = name.split('_').next().unwrap_or_default();
        let mut choice = Vec::new();
        for alternative in alternatives {
            let own_name = format!("{envelope}_{}", alternative.name);
            choice.push(json!({ "$ref": format!("{PREFIX}{own_name}") }));
            flat.insert(own_name, Value::Object(alternative.fields));
        }
        flat.insert(name.clone(), json!({ "oneOf": choice }));
    }
    let names = take_names(document, flat, &described);
    rename(document, &names);
}

/// The schemas as they were described.
struct Parts<'a> {
    schemas: &'a Schemas,
}

/// One of the objects that a schema allows.
#[derive(Clone, Default)]
struct Alternative {
    /// The schema that made it one of several; empty where it is the only one.
    name: String,
    fields: Map<String, Value>,
}

impl Parts<'_> {
    /// Every object that the schema allows, each with all its fields.
    fn alternatives(&self, schema: &Value) -> Vec<Alternative> {
        if let Some(name) = referred(schema) {
            let mut found =
                self.schemas.get(name).map_or_else(Vec::new, |it| self.alternatives(it));
            if let [only] = &mut found[..] {
                name.clone_into(&mut only.name);
            }
            return found;
        }
        if let Some(Value::Array(choice)) = schema.get("oneOf") {
            return choice.iter().flat_map(|one| self.alternatives(one)).collect();
        }
        let Some(Value::Array(all)) = schema.get("allOf") else {
            let fields = self.flat(schema).as_object().cloned().unwrap_or_default();
            return vec![Alternative { name: String::new(), fields }];
        };
        let mut own = Alternative::default();
        own.fields
            .extend(schema.get("description").map(|it| ("description".to_owned(), it.clone())));
        all.iter().fold(vec![own], |merged, part| {
            let choice = self.alternatives(part);
            let with_each = |one: &Alternative| {
                choice.iter().map(|part| one.with(part, choice.len() > 1)).collect::<Vec<_>>()
            };
            merged.iter().flat_map(with_each).collect()
        })
    }

    /// The schema with every `allOf` in it made flat.
    fn flat(&self, schema: &Value) -> Value {
        match schema {
            Value::Object(fields) if fields.contains_key("allOf") => {
                let mut found: Vec<Value> =
                    self.alternatives(schema).into_iter().map(|one| one.fields.into()).collect();
                if found.len() == 1 { found.remove(0) } else { json!({ "oneOf": found }) }
            }
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| (name.clone(), self.flat(value))).collect()
            }
            Value::Array(items) => items.iter().map(|item| self.flat(item)).collect(),
            other => other.clone(),
        }
    }
}

impl Alternative {
    /// The object with the fields of another part. What only one of them can say, such as a
    /// description, is said by the first.
    fn with(&self, part: &Self, is_chosen: bool) -> Self {
        let mut merged = self.clone();
        if is_chosen {
            merged.name.clone_from(&part.name);
        }
        for (keyword, value) in &part.fields {
            match (merged.fields.get_mut(keyword), value) {
                (None, _) => {
                    merged.fields.insert(keyword.clone(), value.clone());
                }
                (Some(Value::Object(known)), Value::Object(more)) => {
                    known.extend(more.iter().map(|(name, it)| (name.clone(), it.clone())));
                }
                (Some(Value::Array(known)), Value::Array(more)) => known.extend_from_slice(more),
                _ => {}
            }
        }
        merged
    }
}

/// The name of the schema that this one refers to.
fn referred(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix(PREFIX)
}

/// The names of all schemas that are referred to in a value.
fn references(value: &Value) -> Vec<String> {
    let below: Vec<String> = match value {
        Value::Object(fields) => fields.values().flat_map(references).collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    };
    referred(value).map(str::to_owned).into_iter().chain(below).collect()
}

/// Puts those schemas into the document that its operations refer to, an envelope under the name of
/// its report, and with its description. Returns the new names by the old ones.
fn take_names(
    document: &mut Value,
    flat: Schemas,
    described: &Schemas,
) -> BTreeMap<String, String> {
    let mut used = BTreeSet::new();
    let mut open = references(&document["paths"]);
    while let Some(name) = open.pop() {
        if let Some(schema) = flat.get(&name)
            && used.insert(name)
        {
            open.extend(references(schema));
        }
    }
    let mut names = BTreeMap::new();
    let mut schemas = Schemas::new();
    for (name, mut schema) in flat.into_iter().filter(|(name, _)| used.contains(name)) {
        let report = name.split_once('_').map(|(_, report)| report);
        let report =
            report.filter(|report| !used.contains(*report) && !schemas.contains_key(*report));
        let Some(report) = report.map(str::to_owned) else {
            schemas.insert(name, schema);
            continue;
        };
        if let Some(description) = described.get(&report).and_then(|it| it.get("description")) {
            schema["description"] = description.clone();
        }
        schemas.insert(report.clone(), schema);
        names.insert(name, report);
    }
    document["components"]["schemas"] = Value::Object(schemas);
    names
}

/// Refers to the schemas by their new names.
fn rename(value: &mut Value, names: &BTreeMap<String, String>) {
    let renamed = referred(value).and_then(|name| names.get(name));
    if let Some(name) = renamed {
        value["$ref"] = format!("{PREFIX}{name}").into();
    }
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|it| rename(it, names)),
        Value::Array(items) => items.iter_mut().for_each(|it| rename(it, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str) -> Value {
        json!({
            "type": "object", "required": [name], "properties": { name: { "type": "integer" } },
        })
    }

    fn refer(name: &str) -> Value {
        json!({ "$ref": format!("{PREFIX}{name}") })
    }

    fn document(body: &str, schemas: Value) -> Value {
        let mut document = json!({ "paths": { "/": refer(body) }, "components": {} });
        document["components"]["schemas"] = schemas;
        flatten(&mut document);
        document
    }

    #[test]
    fn a_report_in_its_envelope_is_one_object() {
        let document = document(
            "Answer_Report",
            json!({
                "Answer_Report": {
                "description": "Any.", "allOf": [refer("Report"), object("fresh")]
            },
                "Report": { "description": "Mine.", "allOf": [refer("Subject"), object("points")] },
                "Subject": { "description": "Whom.", "allOf": [object("account"), object("zone")] },
                "Unused": object("x"),
            }),
        );
        assert_eq!(document["paths"]["/"], refer("Report"));
        let schemas = document["components"]["schemas"].as_object().unwrap();
        assert_eq!(schemas.keys().collect::<Vec<_>>(), ["Report"]);
        let report = &schemas["Report"];
        assert_eq!(report["description"], "Mine.");
        assert_eq!(report["required"], json!(["account", "zone", "points", "fresh"]));
        assert_eq!(report["properties"].as_object().unwrap().len(), 4);
        assert_eq!(report["type"], "object");
    }

    #[test]
    fn an_envelope_of_one_of_two_reports_becomes_two() {
        let document = document(
            "Answer_Usage",
            json!({
                "Answer_Usage": { "allOf": [refer("Usage"), object("fresh")] },
                "Usage": { "description": "Either.", "oneOf": [refer("Total"), refer("Series")] },
                "Total": { "allOf": [refer("Subject"), object("points")] },
                "Series": { "allOf": [refer("Subject"), object("series")] },
                "Subject": object("account"),
            }),
        );
        let schemas = document["components"]["schemas"].as_object().unwrap();
        assert_eq!(schemas.keys().collect::<Vec<_>>(), ["Series", "Total", "Usage"]);
        assert_eq!(
            schemas["Usage"],
            json!({ "description": "Either.", "oneOf": [refer("Total"), refer("Series")] })
        );
        assert_eq!(schemas["Series"]["required"], json!(["account", "series", "fresh"]));
    }

    #[test]
    fn a_schema_that_is_sent_without_its_envelope_too_keeps_its_name() {
        let document = document(
            "Answer_Report",
            json!({
                "Answer_Report": { "allOf": [object("before"), object("fresh")],
                    "properties": {} },
                "Report": object("points"),
            }),
        );
        assert_eq!(document["paths"]["/"], refer("Report"), "nothing else has the name");
        let schemas = json!({
            "Answer_Report": { "allOf": [{ "properties": { "one": refer("Report") } }] },
            "Report": object("points"),
        });
        let document = self::document("Answer_Report", schemas);
        assert_eq!(document["paths"]["/"], refer("Answer_Report"));
    }
}

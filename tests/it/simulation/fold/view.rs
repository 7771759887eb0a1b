//! The expected result of a reader.

use super::{Activity, Executions, Fold, SeatFact, intervals, lies_in};
use crate::simulation::naive_calendar::text;
use crate::simulation::view::{View, or_none};

impl Fold {
    /// The expected result of a reader.
    pub(in crate::simulation) fn view(&self) -> View {
        let mut view = self.rows.clone();
        for ((account, organization, day), users) in &self.active_users {
            view.insert(
                format!("active_users {account}/{organization} {day}"),
                format!("{users:?}"),
            );
        }
        for ((account, organization, project, day), counts) in &self.executions {
            let Executions { run, uploaded, duration_ms } = counts;
            let key = format!("executions {account}/{organization}/{project} {day}");
            view.insert(key, format!("{run} run, {uploaded} uploaded, {duration_ms} ms"));
        }
        for ((account, organization, anchor_ms, month, day), tests) in &self.quota {
            let key = format!(
                "quota {account}/{organization} month {month} from {} {day}",
                text(*anchor_ms)
            );
            view.insert(key, tests.to_string());
        }
        for (account, organization) in &self.organizations {
            view.insert(format!("named {account}/{organization}"), String::new());
        }
        for ((account, entity, field), ((time_ms, source, offset), value)) in &self.directory {
            let value = format!("{value:?} since {} {source} {offset}", text(*time_ms));
            view.insert(format!("directory {account} {entity} {field}"), value);
        }
        for ((account, organization, user), facts) in &self.seats {
            self.view_seat(&mut view, (account, organization, user), facts);
        }
        self.view_hours(&mut view);
        view
    }

    fn view_seat(
        &self,
        view: &mut View,
        (account, organization, user): (&str, &str, &str),
        facts: &[SeatFact],
    ) {
        let intervals = intervals(facts);
        let last_start_ms = intervals.last().map(|(fact, _)| fact.order.0);
        for (fact, end_ms) in intervals {
            let start_ms = fact.order.0;
            let none = Vec::new();
            let activities =
                self.activities.get(&(account.to_owned(), user.to_owned())).unwrap_or(&none);
            // Activation goes by the current facts, last use by the facts known at each activity.
            let activates = |activity: &&Activity| {
                activity.sequence > fact.sequence && lies_in(activity.time_ms, start_ms, end_ms)
            };
            let first_ms =
                activities.iter().filter(activates).map(|activity| activity.time_ms).min();
            let uses = |activity: &&Activity| {
                activity.starts_ms.contains(&(organization.to_owned(), start_ms))
            };
            let last_ms = activities.iter().filter(uses).map(|activity| activity.time_ms).max();
            let last_ms =
                last_ms.map(|last_ms| end_ms.map_or(last_ms, |end_ms| last_ms.min(end_ms)));
            let used = first_ms.map_or_else(
                || "never used".to_owned(),
                |first_ms| {
                    format!(
                        "used from {} to {}",
                        text(first_ms),
                        last_ms.map_or_else(String::new, text)
                    )
                },
            );
            let end = end_ms.map_or_else(|| "open".to_owned(), text);
            let (project, license_source) =
                (or_none(fact.project.as_ref()), or_none(fact.license_source.as_ref()));
            let place = format!("{} {}", fact.order.1, fact.order.2);
            let key = format!("seat {account}/{organization}/{user} from {}", text(start_ms));
            let latest =
                if Some(start_ms) == last_start_ms { "the latest" } else { "followed by another" };
            view.insert(
                key,
                format!(
                    "to {end}, project {project}, source {license_source}, by {place}, {used}, \
                    {latest}"
                ),
            );
        }
    }
}

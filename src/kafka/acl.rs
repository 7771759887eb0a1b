//! ACLs, in the terms of Kafka's tools.

use std::fmt;

/// An operation that an ACL allows or denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Describe,
    DescribeConfigs,
    IdempotentWrite,
    Read,
    Write,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The resource of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'n> {
    Cluster,
    Group(&'n str),
    Topic(&'n str),
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => write!(f, "the cluster"),
            Self::Group(name) => write!(f, "group {name:?}"),
            Self::Topic(name) => write!(f, "topic {name:?}"),
        }
    }
}

/// The sentence that says which ACL is missing, and the command that adds it.
pub(super) fn missing(
    operation: Operation,
    resource: Resource<'_>,
    principal: Option<&str>,
) -> String {
    let whom = principal.unwrap_or("this client's principal");
    let principal = principal.unwrap_or("User:NAME");
    let option = match resource {
        Resource::Cluster => "--cluster".to_owned(),
        Resource::Group(name) => format!("--group {name}"),
        Resource::Topic(name) => format!("--topic {name}"),
    };
    format!(
        "an ACL must allow {whom} {operation} on {resource} (kafka-acls.sh --add --allow-principal \
        {principal} --operation {operation} {option})"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_adds_what_is_missing() {
        assert_eq!(
            missing(Operation::Read, Resource::Group("g"), Some("User:alice")),
            "an ACL must allow User:alice Read on group \"g\" (kafka-acls.sh --add \
            --allow-principal User:alice --operation Read --group g)"
        );
        assert_eq!(
            missing(Operation::Describe, Resource::Cluster, None),
            "an ACL must allow this client's principal Describe on the cluster (kafka-acls.sh \
            --add --allow-principal User:NAME --operation Describe --cluster)"
        );
    }
}

//! ACLs, by Kafka's own protocol: rdkafka does not wrap it, and Kafka's tools take seconds to
//! start.
//!
//! Requests of version 1 with a header of version 1, one connection each.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const CREATE_ACLS: i16 = 30;
const DELETE_ACLS: i16 = 31;
const VERSION: i16 = 1;
const TIMEOUT: Duration = Duration::from_secs(30);

/// An operation, by Kafka's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Read = 3,
    Write = 4,
    Describe = 8,
    DescribeConfigs = 10,
}

/// The resource of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource<'n> {
    Topic(&'n str),
    Group(&'n str),
}

/// Any host.
const HOST: &str = "*";
const LITERAL: u8 = 3;
const ALLOW: u8 = 3;

#[track_caller]
pub(super) fn create(address: &str, principal: &str, operation: Operation, resource: Resource<'_>) {
    change(address, CREATE_ACLS, principal, operation, resource);
}

#[track_caller]
pub(super) fn delete(address: &str, principal: &str, operation: Operation, resource: Resource<'_>) {
    change(address, DELETE_ACLS, principal, operation, resource);
}

/// An ACL to create and a filter that finds it are equal on the wire, and so are the beginnings of
/// the answers.
#[track_caller]
fn change(
    address: &str,
    request: i16,
    principal: &str,
    operation: Operation,
    resource: Resource<'_>,
) {
    let (kind, name) = match resource {
        Resource::Topic(name) => (2, name),
        Resource::Group(name) => (3, name),
    };
    let mut body = Vec::new();
    body.extend(request.to_be_bytes());
    body.extend(VERSION.to_be_bytes());
    let correlation_id = 1_i32;
    body.extend(correlation_id.to_be_bytes());
    text(&mut body, "tests");
    let entries = 1_i32;
    body.extend(entries.to_be_bytes());
    body.push(kind);
    text(&mut body, name);
    body.push(LITERAL);
    text(&mut body, principal);
    text(&mut body, HOST);
    body.extend([operation as u8, ALLOW]);

    let mut broker = TcpStream::connect(address).unwrap();
    broker.set_read_timeout(Some(TIMEOUT)).unwrap();
    broker.write_all(&i32::try_from(body.len()).unwrap().to_be_bytes()).unwrap();
    broker.write_all(&body).unwrap();
    // Length, correlation id, throttle time, number of results, then the first one's error.
    let mut answer = [0; 18];
    broker.read_exact(&mut answer).unwrap();
    assert_eq!(&answer[12..16], &entries.to_be_bytes(), "one result");
    assert_eq!(&answer[16..], &[0, 0], "the error code of an ACL of {principal}");
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(i16::try_from(text.len()).unwrap().to_be_bytes());
    bytes.extend(text.as_bytes());
}

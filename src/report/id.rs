//! Ids as texts, each of a type that says what it names: an account's cannot be taken for an
//! organization's.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Its text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        // Cursors are bound to requests by this text.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

ids! {
    /// The id of an account.
    AccountId
    /// The id of an organization.
    OrganizationId
    /// The id of a project.
    ProjectId
    /// The id of a user.
    UserId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_as_its_text() {
        let id = OrganizationId::from("a\"b");
        assert_eq!(format!("{id:?}"), format!("{:?}", "a\"b"));
        assert_eq!(serde_json::to_string(&id).unwrap(), r#""a\"b""#);
        assert_eq!(serde_json::from_str::<OrganizationId>(r#""a\"b""#).unwrap(), id);
    }
}

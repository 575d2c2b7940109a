//! The two ends of a connection, and one value for each.

use std::fmt;
use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

/// End of the connection that makes a call or sends a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The end that calls `connect`.
    Client,
    /// The end that calls `accept`.
    Server,
}

impl Role {
    /// The two ends, the client first.
    pub const BOTH: [Self; 2] = [Self::Client, Self::Server];

    /// Returns the other end.
    #[must_use]
    pub fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// Returns the name: `client` or `server`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One value for each end of a connection, indexed by [`Role`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerEnd<T> {
    /// Value of the client.
    pub client: T,
    /// Value of the server.
    pub server: T,
}

impl<T> PerEnd<T> {
    /// Creates the value of each end with a function, first that of the client.
    pub fn of(mut value: impl FnMut(Role) -> T) -> Self {
        Self {
            client: value(Role::Client),
            server: value(Role::Server),
        }
    }

    /// Returns both values, that of the client first.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        [&mut self.client, &mut self.server].into_iter()
    }
}

impl<T> Index<Role> for PerEnd<T> {
    type Output = T;

    fn index(&self, role: Role) -> &T {
        match role {
            Role::Client => &self.client,
            Role::Server => &self.server,
        }
    }
}

impl<T> IndexMut<Role> for PerEnd<T> {
    fn index_mut(&mut self, role: Role) -> &mut T {
        match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        }
    }
}

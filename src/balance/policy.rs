//! By what a member is chosen.

/// By what a member is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Policy {
    /// In turns, by weight, as evenly spread as can be: nginx's sequence.
    #[default]
    RoundRobin,
    /// Where the fewest requests are in flight for its weight.
    LeastConn,
    /// The better of two at random, by how long answers took of late and what is in flight.
    P2c,
    /// The same one for the same key, as long as it is there and not much busier than the others.
    Hash,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::RoundRobin, Self::LeastConn, Self::P2c, Self::Hash];

    /// The word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::LeastConn => "least_conn",
            Self::P2c => "p2c",
            Self::Hash => "hash",
        }
    }
}

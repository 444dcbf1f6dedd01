//! The product in one process, for tests: a scratch server to protect, and a gateway in front of it with the sample
//! bundle in force.
//!
//! Everything is private to its test: port 0, a database of its own, a data folder that goes away. Nothing here is part
//! of the product, so it may read the clock and draw random numbers like the roof does.

pub mod authority;
pub mod between;
pub mod clients;
pub mod house;
pub mod leash;
pub mod live;
pub mod peer;
pub mod postgres;
pub mod psql;
pub mod samba;
pub mod slapd;
pub mod tools;

pub use house::{House, system_ports};
pub use postgres::{Database, ScratchPostgres};
pub use psql::Psql;

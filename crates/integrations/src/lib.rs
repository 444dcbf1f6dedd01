//! The outside world behind the engine's ports: what is asked of servers that others run.

pub mod ldap;
pub mod oidc;
pub mod push;
pub mod vault;

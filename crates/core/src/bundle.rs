//! Bundles: the policies, rules, roles, resources and people in force, as one atomic version.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::catalogue::Catalogue;
use crate::ids::{BundleHash, PrincipalId, RequestId};

/// What is done about bundles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Puts a checked bundle in force. The ruling in the facts is on `policy.apply` under the bundle that is
    /// in force and the floor; there is none for the first.
    Activate {
        /// Which.
        bundle: BundleHash,
        /// What it says.
        catalogue: Arc<Catalogue>,
        /// Who applies it.
        by: PrincipalId,
        /// The approved request, by the same principal, that lifts the gates on `policy.apply`.
        request: Option<RequestId>,
    },
}

/// What happened to the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// It is in force.
    Activated {
        /// Which.
        bundle: BundleHash,
        /// The one before.
        previous: Option<BundleHash>,
        /// Counted from one.
        version: u64,
        /// What it says. The line carries the hash only; the catalogue is read back by hash.
        catalogue: Arc<Catalogue>,
        /// Who applied it.
        by: PrincipalId,
        /// The request that allowed it.
        request: Option<RequestId>,
    },
}

/// The bundle in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// Which.
    pub bundle: BundleHash,
    /// Counted from one.
    pub version: u64,
}

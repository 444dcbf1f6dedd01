//! Disabling and enabling principals. Who exists is the bundle's to say; who is shut out is decided here, and
//! no bundle undoes it.

use serde::{Deserialize, Serialize};

use crate::ids::{Digest, PrincipalId};

/// What is done about principals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Shuts somebody out. The ruling in the facts is on `principal.disable`.
    Disable {
        /// Whom.
        principal: PrincipalId,
        /// Who says so.
        by: PrincipalId,
        /// Commitment to the reason.
        reason: Option<Digest>,
    },
    /// Lets them in again. Nothing that was ended comes back.
    Enable {
        /// Whom.
        principal: PrincipalId,
        /// Who says so.
        by: PrincipalId,
    },
}

/// What happened to a principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Shut out.
    Disabled {
        /// Whom.
        principal: PrincipalId,
        /// By whom.
        by: PrincipalId,
        /// Commitment to the reason.
        reason: Option<Digest>,
    },
    /// Let in again.
    Enabled {
        /// Whom.
        principal: PrincipalId,
        /// By whom.
        by: PrincipalId,
    },
}

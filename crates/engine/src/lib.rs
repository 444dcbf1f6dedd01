//! The engine: the only writer. It looks up the facts, decides, appends, applies and publishes.
//!
//! [`Engine`] is what doors, portal and command line talk to. Reading goes over an immutable [`Snapshot`] without
//! locks; judging an action is a pure function over it. Whatever may change something is durable in the ledger
//! before it is forwarded, and the types of [`action`] leave no other order. Nothing here speaks a protocol, reads
//! a clock or draws a random number: those come through [`ports`].

pub mod accesses;
pub mod accounts;
pub mod action;
mod api;
pub mod audit;
mod counter;
pub mod directory;
mod engine;
pub mod federation;
pub mod follow;
pub mod foreseen;
pub mod history;
mod house;
mod index;
mod keys;
pub mod line;
mod pause;
pub mod people;
pub mod ports;
pub mod reading;
mod request;
pub mod scripts;
mod seal;
mod session;
pub mod settings;
pub mod setup;
mod sheet;
pub mod signatures;
mod snapshot;
pub mod so_far;
mod spending;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod trial;
pub mod views;
mod warden;
pub mod webauthn;
mod words;
pub mod workbench;
mod writer;

pub use action::{
    Answer, Attempt, Client, Completion, CompletionResult, Cover, Covered, Denied, Forward, Ground, Held,
    Judged, Judgement, Keeping, Look, LookFunction, LookRelation, LookType, NextStep, NotCovered, NotStepped,
    NotUsed, Parameter, Pending, Ran, Recorded, SessionRefused, Stepped, Telling, Unmasking, Unrecorded,
    Used, Waiting, Withheld,
};
pub use api::{Applied, ApplyError, AskAccess, AtDoor, Preview, PreviewVerdict, RoleAtDoor, Yes};
pub use audit::{ContentView, EventDetail, EventView, LedgerQuery, LedgerState, SearchPage, Stage};
pub use countersign_policy::context::Via;
pub use engine::Engine;
pub use house::{Kept, NoContent};
pub use keys::{
    Answer as KeeperAnswer, HouseKeys, Keeper, KeeperError, Keepers, KeysError, KeysView, MasterKey,
    MasterKeys, SECRET_BYTES_MAX, SecretView, Unwrapped,
};
pub use pause::Paused;
pub use people::{
    AgentCode, AuthenticatorView, Bearer, Caller, ClientIdentity, ClientView, ConsentActor, ConsentAsk,
    ConsentAsked, DeviceAsked, DeviceBegun, DeviceStep, FederatedAnswer, FederatedBegun, Invitation,
    IssuedTokens, Means, MeansSet, Minted, NewPlace, OauthClient, PasskeyAsked, PasskeyMade, PasskeyOffer,
    PasskeyShown, ProgramCode, Proof, Proved, Redeemed, ScramVerifiers, SecondStep, SecretError,
    SetPasswordError, SignInClient, SignInRefused, SignInStep, SignInView, SignatureAsked, SignedIn,
    TokenRefused, TotpBound, TotpOffer, Unauthenticated, redirect_host,
};
pub use ports::{Clock, Entropy, Ports, SecretSource};
pub use scripts::{AskScript, ScriptReader, ScriptStep, ScriptText};
pub use seal::Unreadable;
pub use session::{Allowance, Session, Word};
pub use settings::Settings;
pub use snapshot::{Changed, Health, Snapshot, Topics};
pub use store::{SqliteStore, Store, StoreError};
pub use views::{
    GrantFilter, GrantView, ParameterView, PausedView, RelationView, RequestFilter, RequestKind, RequestView,
    RowsView, SaidView, SessionView, StageView,
};
pub use words::{Refused, RefusedCode};
pub use writer::open::{Broken, StartError};

/// The program's version, as the ledger has it.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

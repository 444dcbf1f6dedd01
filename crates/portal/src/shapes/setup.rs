//! The first-run set-up, and invitations.

use countersign_core::ids::BadId;
use countersign_engine::setup::{Account, Database, Founding, Person, Reached};
use countersign_engine::{Invitation, Refused};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::identity::PasskeyMade;
use super::people::SignedIn;
use crate::problem::{Kind, Problem};

/// A gateway that is to be set up.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct SetupState {
    /// Whether passkeys can be made at the address where the console is: it has to be https and a name, or localhost.
    pub passkeys: bool,
}

/// The code that the gateway said where it was started.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetupCode {
    /// The code.
    #[schema(max_length = 64, format = Password)]
    pub code: String,
}

/// Somebody who is named in the set-up.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetupPerson {
    /// The account's name.
    #[schema(max_length = 64, example = "ada")]
    pub name: String,
    /// As people call them.
    #[schema(max_length = 128, example = "Ada Adler")]
    pub display: String,
    /// Their address.
    #[schema(max_length = 128, nullable = false)]
    pub email: Option<String>,
}

/// An account of a database.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetupAccount {
    /// Its name on the server.
    #[schema(max_length = 128, example = "orders_writer")]
    pub name: String,
    /// Its password. Never recorded, never logged, never shown.
    #[schema(max_length = 1024, format = Password)]
    pub password: String,
}

/// How a server is reached.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SetupTls {
    /// In clear text.
    Disable,
    /// Encrypted, to whoever answers.
    Require,
    /// With a certificate of the authority.
    VerifyCa,
    /// With a certificate of the authority, made out to the host.
    VerifyFull,
}

/// A database.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetupDatabase {
    /// What it is called here: people ask for roles called after it.
    #[schema(max_length = 48, example = "orders")]
    pub name: String,
    /// One line for people who choose.
    #[schema(max_length = 128, example = "Orders and invoices")]
    pub title: String,
    /// Where it is.
    #[schema(max_length = 128, example = "db.example")]
    pub host: String,
    /// At which port.
    pub port: u16,
    /// Which one of the server.
    #[schema(max_length = 128, example = "orders")]
    pub database: String,
    /// How the server is reached.
    pub tls: SetupTls,
    /// Who vouches for the server: the path of a file of the gateway's machine.
    #[schema(max_length = 128, nullable = false)]
    pub tls_ca: Option<String>,
    /// Under which account people write.
    pub writer: SetupAccount,
    /// Under which account people read, and the gateway estimates what a statement would touch.
    #[schema(nullable = false)]
    pub reader: Option<SetupAccount>,
}

/// A database to be tried.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TryDatabase {
    /// The code.
    #[schema(max_length = 64, format = Password)]
    pub code: String,
    /// The database.
    pub database: SetupDatabase,
}

/// Accounts that a database let in.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct DatabaseTried {
    /// Each that was tried.
    pub accounts: Vec<AccountTried>,
}

/// An account that a database let in.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct AccountTried {
    /// Its name.
    pub account: String,
    /// The server's version, as it says itself.
    pub server: String,
    /// What it may do there beyond what people are to do under it.
    pub beyond: Vec<String>,
}

/// Whose passkey is to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OfferAdministrator {
    /// The code.
    #[schema(max_length = 64, format = Password)]
    pub code: String,
    /// Who.
    pub administrator: SetupPerson,
}

/// All that a gateway needs to begin with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetUp {
    /// The code, which is used up.
    #[schema(max_length = 64, format = Password)]
    pub code: String,
    /// What the house is called.
    #[schema(max_length = 128, example = "Example Ltd")]
    pub house: String,
    /// Who administers it first.
    pub administrator: SetupPerson,
    /// Their passkey.
    pub passkey: PasskeyMade,
    /// Who is asked what one may not decide alone.
    pub second: SetupPerson,
    /// What the gateway stands before.
    pub database: SetupDatabase,
}

/// The gateway is set up.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct SetUpDone {
    /// The administrator's sign-in.
    pub signed_in: SignedIn,
    /// For the second person.
    pub invitation: Invited,
}

/// An invitation, to be passed on. It is shown this once.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Invited {
    /// Whose.
    pub user: String,
    /// What they have to show.
    pub code: String,
    /// Until when.
    #[schema(format = DateTime)]
    pub expires_at: String,
}

/// Somebody who was invited.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationShown {
    /// Their name.
    #[schema(max_length = 64)]
    pub user: String,
    /// The code of the invitation.
    #[schema(max_length = 64, format = Password)]
    pub code: String,
}

/// Somebody who was invited, and has made a passkey.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptInvitation {
    /// Their name.
    #[schema(max_length = 64)]
    pub user: String,
    /// The code of the invitation, which is used up.
    #[schema(max_length = 64, format = Password)]
    pub code: String,
    /// The passkey.
    pub passkey: PasskeyMade,
}

impl TryFrom<SetupPerson> for Person {
    type Error = Refused;

    fn try_from(person: SetupPerson) -> Result<Self, Refused> {
        Self::new(&person.name, &person.display, person.email.as_deref())
    }
}

impl TryFrom<SetupAccount> for Account {
    type Error = Refused;

    fn try_from(account: SetupAccount) -> Result<Self, Refused> {
        Self::new(&account.name, Zeroizing::new(account.password))
    }
}

impl TryFrom<SetupDatabase> for Database {
    type Error = Problem;

    fn try_from(said: SetupDatabase) -> Result<Self, Problem> {
        let bad = |bad: BadId| Problem::new(Kind::Invalid, bad.to_string());
        let database = Self {
            name: said.name.parse().map_err(bad)?,
            title: said.title,
            host: said.host,
            port: said.port,
            database: said.database,
            tls: said.tls.as_str().into(),
            tls_ca: said.tls_ca,
            writer: said.writer.try_into()?,
            reader: said.reader.map(Account::try_from).transpose()?,
        };
        Ok(database.checked()?)
    }
}

impl SetupTls {
    /// As bundles have it.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl SetUp {
    /// What is to be founded, with which code and passkey.
    ///
    /// # Errors
    /// Something of it can't be.
    pub(crate) fn parts(
        self,
    ) -> Result<(Zeroizing<String>, Founding, countersign_engine::PasskeyMade), Problem> {
        let code = Zeroizing::new(self.code);
        let founding = Founding {
            house: self.house,
            administrator: self.administrator.try_into()?,
            second: self.second.try_into()?,
            database: self.database.try_into()?,
        };
        Ok((code, founding.checked()?, self.passkey.try_into()?))
    }
}

impl SetUpDone {
    pub(crate) fn new(signed_in: SignedIn, invitation: &Invitation) -> Self {
        Self { signed_in, invitation: invitation.into() }
    }
}

impl From<&Invitation> for Invited {
    fn from(invitation: &Invitation) -> Self {
        let Invitation { principal, code, expires_at } = invitation;
        Self { user: principal.to_string(), code: code.to_string(), expires_at: expires_at.rfc3339() }
    }
}

impl From<Vec<Reached>> for DatabaseTried {
    fn from(reached: Vec<Reached>) -> Self {
        let one = |Reached { account, server, beyond }| AccountTried { account, server, beyond };
        Self { accounts: reached.into_iter().map(one).collect() }
    }
}

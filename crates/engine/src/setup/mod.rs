//! The first-run set-up: a gateway that has no bundle yet is set up in the browser, by whoever holds the code that it said
//! where it was started.
//!
//! Who holds the code says how the house is called, who administers it, which database it stands before and who the second
//! person is. Nothing is in force until all of that is there; then it is one bundle like any other, checked like any other,
//! and with it passkey, secrets and invitation. From that moment there is no set-up any more, for anybody.
//!
//! The code is kept as a keyed digest, in memory: a gateway that is started again says another one. It ends by use, by time,
//! and when it was tried too often. What is done under it is recorded.

mod bundle;
mod trying;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use countersign_core::catalogue::Catalogue;
use countersign_core::ids::BadId;
use countersign_core::{At, PrincipalId, ResourceId, Span};
use countersign_policy::{Source, compile};
use tokio::sync::{Mutex, MutexGuard};
use zeroize::Zeroizing;

pub use trying::{Reached, Wish};

use crate::api::ApplyError;
use crate::engine::Engine;
use crate::line::{Configured, Topic};
use crate::people::{
    FirstPasskey, Invitation, PasskeyMade, PasskeyOffer, SignInClient, SignInRefused, SignedIn, secret_place,
};
use crate::store::{Drawer, Put};
use crate::words::{Refused, RefusedCode};
use crate::writer::work::Note;

/// How long the code counts.
const COUNTS_FOR: Span = Span::hours(24);

/// How often the code may be wrong, from wherever. It can't be guessed so often; beyond, somebody tries to.
const WRONG_MAX: u32 = 100;

/// The longest text that is not a name.
const TEXT_BYTES_MAX: usize = 128;

/// The longest name of a database: roles and secrets are called after it.
const NAME_BYTES_MAX: usize = 48;

/// The longest password of an account.
const PASSWORD_BYTES_MAX: usize = 1_024;

/// For what a passkey is made.
const PURPOSE: &str = "setup";

/// The set-up that is open, if one is.
#[derive(Default)]
pub(crate) struct Setup {
    open: Mutex<Option<Open>>,
}

struct Open {
    verifier: [u8; 32],
    until: At,
    wrong: u32,
}

/// What the gateway says where it was started.
#[derive(Debug)]
pub struct SetupCode {
    /// What has to be typed.
    pub code: Zeroizing<String>,
    /// Until when.
    pub until: At,
}

/// Somebody as the set-up names them.
#[derive(Clone, Debug)]
pub struct Person {
    /// The account's name.
    pub name: PrincipalId,
    /// As people call them.
    pub display: String,
    /// Their address, if it is to be known.
    pub email: Option<String>,
}

/// An account of a database.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its name there.
    pub name: String,
    /// Its password.
    pub password: Zeroizing<String>,
}

/// A database as the set-up describes it.
#[derive(Clone, Debug)]
pub struct Database {
    /// What it is called here.
    pub name: ResourceId,
    /// One line for people who choose.
    pub title: String,
    /// Where it is.
    pub host: String,
    /// At which port.
    pub port: u16,
    /// Which one.
    pub database: String,
    /// `disable`, `require`, `verify-ca` or `verify-full`.
    pub tls: String,
    /// Who vouches for the server: a file of the gateway's machine.
    pub tls_ca: Option<String>,
    /// Under which account people write.
    pub writer: Account,
    /// Under which account people read, and the gateway looks.
    pub reader: Option<Account>,
}

/// All that a gateway needs to begin with.
#[derive(Clone, Debug)]
pub struct Founding {
    /// What the house is called.
    pub house: String,
    /// Who administers it first.
    pub administrator: Person,
    /// Who is asked what one may not decide alone.
    pub second: Person,
    /// What it stands before.
    pub database: Database,
}

/// What was founded.
#[derive(Debug)]
pub struct Founded {
    /// The administrator's sign-in.
    pub signed_in: SignedIn,
    /// For the second person.
    pub invitation: Invitation,
}

/// Why a step of the set-up was not done.
#[derive(Debug, thiserror::Error)]
pub enum SetupRefused {
    /// There is nothing to set up, or the code has ended.
    #[error("there is no set-up here")]
    None,
    /// The code is wrong.
    #[error("the code is wrong; the gateway said it where it was started")]
    WrongCode,
    /// The bundle that it comes to has mistakes.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The administrator could not be signed in; the rest is done.
    #[error(transparent)]
    SignIn(#[from] SignInRefused),
    /// Something of it is not right.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl Engine {
    /// Opens the set-up, if no bundle is in force: a code for whoever started the gateway.
    ///
    /// # Errors
    /// It could not be recorded.
    pub async fn open_setup(&self) -> Result<Option<SetupCode>, Refused> {
        if self.snapshot().book.in_force.is_some() {
            return Ok(None);
        }
        let mut open = self.0.setup.open.lock().await;
        let (code, until) = (self.one_time_code(), self.now().plus(COUNTS_FOR));
        self.note(self.setup_note("setup_opened")).await?;
        *open = Some(Open { verifier: self.code_verifier(PURPOSE, &code), until, wrong: 0 });
        Ok(Some(SetupCode { code, until }))
    }

    /// Whether there is a set-up at present, and whether passkeys can be made at the console's address.
    ///
    /// # Errors
    /// [`SetupRefused::None`].
    pub async fn setup(&self) -> Result<bool, SetupRefused> {
        drop(self.standing_setup().await?);
        Ok(self.offer_first(PURPOSE, (&PrincipalId::new("nobody"), "")).is_ok())
    }

    /// Whether this is the code.
    ///
    /// # Errors
    /// [`SetupRefused`]; recorded.
    pub async fn check_setup_code(&self, code: &str, client: &SignInClient) -> Result<(), SetupRefused> {
        self.with_code(code, client).await.map(|_| ())
    }

    /// Has a passkey made by whoever is to administer the gateway.
    ///
    /// # Errors
    /// [`SetupRefused`].
    pub async fn offer_setup(
        &self,
        code: &str,
        administrator: &Person,
        client: &SignInClient,
    ) -> Result<PasskeyOffer, SetupRefused> {
        drop(self.with_code(code, client).await?);
        let purpose = purpose(&administrator.name);
        Ok(self.offer_first(&purpose, (&administrator.name, &administrator.display))?)
    }

    /// Tries to reach a database as it is described, with each of its accounts. Nothing is kept.
    ///
    /// # Errors
    /// [`SetupRefused`]; what the server says is in it.
    pub async fn try_database(
        &self,
        code: &str,
        database: &Database,
        client: &SignInClient,
    ) -> Result<Vec<Reached>, SetupRefused> {
        drop(self.with_code(code, client).await?);
        self.reach_database(database, bundle::trial(database)).await
    }

    /// Sets the gateway up. The code is used up, and there is no set-up any more.
    ///
    /// # Errors
    /// [`SetupRefused`]; then nothing is in force.
    pub async fn found(
        &self,
        code: &str,
        founding: Founding,
        made: PasskeyMade,
        client: SignInClient,
    ) -> Result<Founded, SetupRefused> {
        let mut open = self.with_code(code, &client).await?;
        let files = bundle::files(&founding);
        self.reach_database(&founding.database, files.clone()).await?;
        let administrator = &founding.administrator.name;
        let changing = self.changing().await;
        let first = self.first_passkey(&purpose(administrator), administrator, made).await?;
        let FirstPasskey { note, challenge } = first;
        // Nobody of them is known until the bundle is in force: what is recorded first opens nothing before.
        for note in self.secret_notes(&founding.database).into_iter().chain([note]) {
            self.note(note).await?;
        }
        let (invitation, note) = self.invitation(&founding.second.name);
        self.note(note).await?;
        self.first_bundle(files, administrator).await?;
        *open = None;
        drop((open, changing));
        self.note(self.setup_note("setup_closed")).await?;
        let signed_in = self.admit_first(administrator.clone(), challenge, &client).await?;
        Ok(Founded { signed_in, invitation })
    }

    /// The set-up, if there is one and this is its code.
    async fn with_code(
        &self,
        code: &str,
        client: &SignInClient,
    ) -> Result<MutexGuard<'_, Option<Open>>, SetupRefused> {
        let mut open = self.standing_setup().await?;
        let verifier = self.code_verifier(PURPOSE, code);
        let Some(found) = open.as_mut() else { return Err(SetupRefused::None) };
        if verify_slices_are_equal(&found.verifier, &verifier).is_ok() {
            return Ok(open);
        }
        found.wrong += 1;
        if found.wrong >= WRONG_MAX {
            tracing::warn!(
                "the code of the set-up was tried too often; start the gateway again for another one"
            );
            *open = None;
        }
        drop(open);
        self.failed("auth.failed", "", client).await;
        Err(SetupRefused::WrongCode)
    }

    async fn standing_setup(&self) -> Result<MutexGuard<'_, Option<Open>>, SetupRefused> {
        let mut open = self.0.setup.open.lock().await;
        let is_over = self.snapshot().book.in_force.is_some()
            || open.as_ref().is_some_and(|found| found.until <= self.now());
        if is_over {
            *open = None;
        }
        if open.is_none() { Err(SetupRefused::None) } else { Ok(open) }
    }

    /// Tries every account of a database as these files describe it, and records that it was tried.
    async fn reach_database(
        &self,
        database: &Database,
        files: bundle::Files,
    ) -> Result<Vec<Reached>, SetupRefused> {
        let compiled = compile(&Source { files }).map_err(ApplyError::Invalid)?;
        let found = self.reach_accounts(database, &compiled.catalogue).await;
        let mut note = self.setup_note("setup_database_tried");
        note.line.resource = Some(database.name.clone());
        if found.is_err() {
            note = note.failed();
        }
        self.note(note).await?;
        Ok(found?)
    }

    async fn reach_accounts(
        &self,
        database: &Database,
        described: &Catalogue,
    ) -> Result<Vec<Reached>, Refused> {
        let mut reached = Vec::new();
        for (role, account) in database.accounts() {
            let role = described.roles.get(&bundle::role_name(&database.name, role));
            let (resource, role) = described
                .resources
                .get(&database.name)
                .zip(role)
                .ok_or_else(|| invalid(format!("`{}` can't be the name of a database", database.name)))?;
            reached.push(self.try_account(resource, role, account).await?);
        }
        Ok(reached)
    }

    fn secret_notes(&self, database: &Database) -> Vec<Note> {
        let house = &self.0.house;
        let note = |(role, account): (&str, &Account)| {
            let name = bundle::secret_name(&database.name, role);
            let sealed = house.keyring.seal(&house.ports, &secret_place(&name), account.password.as_bytes());
            let topic =
                Configured { keeper: None, key: None, secret: Some(name.clone()), what: "secret_stored" };
            let mut note = self.note_by("config.changed", Topic::Configured(topic), None);
            note.puts.push(Put::set(Drawer::Secrets, name, sealed));
            note
        };
        database.accounts().map(note).collect()
    }

    fn setup_note(&self, what: &'static str) -> Note {
        let topic = Configured { keeper: None, key: None, secret: None, what };
        self.note_by("config.changed", Topic::Configured(topic), None)
    }
}

impl Person {
    /// Somebody by these words.
    ///
    /// # Errors
    /// One of them can't be.
    pub fn new(name: &str, display: &str, email: Option<&str>) -> Result<Self, Refused> {
        let name = name.parse().map_err(|bad: BadId| invalid(bad.to_string()))?;
        let email = email.map(|email| text("the address", email)).transpose()?;
        if email.as_ref().is_some_and(|email| !email.contains('@')) {
            return Err(invalid("the address is not one of e-mail".into()));
        }
        Ok(Self { name, display: text("the name", display)?, email })
    }
}

impl Account {
    /// An account by its name and password.
    ///
    /// # Errors
    /// One of them can't be.
    pub fn new(name: &str, password: Zeroizing<String>) -> Result<Self, Refused> {
        if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
            return Err(invalid(format!("a password has from one to {PASSWORD_BYTES_MAX} bytes")));
        }
        Ok(Self { name: text("the account", name)?, password })
    }
}

impl Database {
    /// Sees that no text of it is one that can't be.
    ///
    /// # Errors
    /// Which.
    pub fn checked(mut self) -> Result<Self, Refused> {
        if self.name.as_str().len() > NAME_BYTES_MAX || self.name.as_str().contains('@') {
            return Err(invalid(format!(
                "a database is called by at most {NAME_BYTES_MAX} letters, without `@`"
            )));
        }
        self.title = text("the title", &self.title)?;
        self.host = text("the host", &self.host)?;
        self.database = text("the database", &self.database)?;
        self.tls_ca = self.tls_ca.map(|path| text("the file of the authority", &path)).transpose()?;
        if self.reader.as_ref().is_some_and(|reader| reader.name == self.writer.name) {
            return Err(invalid(
                "the account that only reads is another one than that of those who write".into(),
            ));
        }
        Ok(self)
    }

    /// The accounts by what people do under them.
    fn accounts(&self) -> impl Iterator<Item = (&'static str, &Account)> {
        let reader = self.reader.iter().map(|account| (bundle::READER, account));
        std::iter::once((bundle::WRITER, &self.writer)).chain(reader)
    }
}

impl Founding {
    /// Sees that it can be a house.
    ///
    /// # Errors
    /// Why not.
    pub fn checked(mut self) -> Result<Self, Refused> {
        self.house = text("the name of the house", &self.house)?;
        if self.administrator.name == self.second.name {
            return Err(invalid("the second person is somebody else than the first".into())
                .hint("nobody decides alone: there is nobody to ask otherwise"));
        }
        Ok(self)
    }
}

/// A text of one line that is there, trimmed.
fn text(what: &str, text: &str) -> Result<String, Refused> {
    let text = text.trim();
    if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(invalid(format!("{what} has to be one line of one to {TEXT_BYTES_MAX} bytes")));
    }
    Ok(text.to_owned())
}

fn invalid(message: String) -> Refused {
    Refused::new(RefusedCode::Invalid, message)
}

/// For what the administrator's passkey is made.
fn purpose(administrator: &PrincipalId) -> String {
    format!("{PURPOSE}:{administrator}")
}

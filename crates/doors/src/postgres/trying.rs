//! Trying an account of a database that is not in any bundle yet: for the first-run set-up.
//!
//! It is reached by the very code of sessions, and asked what it may do; nothing of it is kept.

use std::sync::Arc;

use countersign_engine::setup::{Reached, Wish};

use super::powers::{Asked, asked};
use super::upstream::{Address, Credentials};
use super::{KIND, Shared};

/// Answers until the door closes.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut wishes = shared.engine.trying_wishes(KIND);
    loop {
        let wish = tokio::select! {
            () = shared.stopping.cancelled() => return,
            wish = wishes.recv() => wish,
        };
        let Some(wish) = wish else { return };
        let reached = tokio::select! {
            () = shared.stopping.cancelled() => return,
            reached = reach(&shared, &wish) => reached,
        };
        wish.answer(reached);
    }
}

async fn reach(shared: &Shared, wish: &Wish) -> Result<Reached, String> {
    let address = Address::of(&wish.resource).map_err(|error| error.to_string())?;
    let credentials = Credentials::password(shared, wish.password.clone());
    let Asked { beyond, server } = asked(shared, &address, &credentials, &wish.role).await?;
    Ok(Reached { account: wish.role.account.clone(), server, beyond })
}

//! The tests of the core: one module per subject, in the form given / when / then, and the properties.
//!
//! Examples drive a [`house`]: a small company with a bundle in force. The properties walk it at random and
//! compare what it does with an [`oracle`] that is written from the design alone.

#[cfg(test)]
mod bundles;
#[cfg(test)]
mod directories;
mod envelopes;
#[cfg(test)]
mod grants;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod house;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod principals;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod quorum;
#[cfg(test)]
mod receipts;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod scripts;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod walk;
#[cfg(test)]
mod world;

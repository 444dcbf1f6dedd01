//! Bundles: compile, check, rule.
//!
//! A bundle is a folder of text files: Cedar policies say *when* something is permitted, forbidden or held,
//! TOML files say *who*, *what* and *who must say yes*. [`compile`] checks all of it at once and reports every
//! mistake with its place. What comes out answers questions: [`Compiled::rule`] is the policy's input to a
//! verdict, with every policy that mattered named by hash.
//!
//! Nothing here reads a file, a clock or the network: the caller reads the folder, and the instant is part of
//! the question. Nothing here decides: a [`Ruling`](countersign_core::ruling::Ruling) is what core decides with.
//!
//! Cedar skips a policy that cannot be evaluated, a forbid too. Here every policy is judged by itself, and any
//! that cannot be is an error in the ruling, hence a denial.

pub mod actions;
mod case;
mod catalogue;
mod ceiling;
mod compiled;
pub mod context;
mod demands;
mod diagnostic;
mod entities;
mod fields;
mod floor;
mod policies;
mod rule_form;
mod ruling;
mod schema;
mod scope;
mod source;
#[cfg(test)]
mod tests;
mod text;

pub use actions::{Class, class_of};
pub use compiled::{Compiled, compile};
pub use demands::demands;
pub use diagnostic::{DIAGNOSTICS_MAX, Diagnostic, Severity};
pub use schema::schema_text;
pub use source::{FILE_BYTES_MAX, FILES_MAX, Source, is_bundle_file};

/// The JSON Schemas of the TOML files of a bundle, by file name.
#[must_use]
pub fn schemas() -> Vec<(&'static str, serde_json::Value)> {
    catalogue::FILES.iter().map(|(file, shape)| (*file, text::json_schema(file, shape))).collect()
}

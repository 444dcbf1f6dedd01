//! Countersign: integrations.

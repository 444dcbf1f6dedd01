//! Countersign: engine.

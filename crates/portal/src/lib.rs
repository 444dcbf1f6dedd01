//! Countersign: portal.

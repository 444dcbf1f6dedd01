//! Countersign: doors.

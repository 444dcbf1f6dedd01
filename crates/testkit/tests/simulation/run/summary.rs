//! What may be done wrong on purpose, and what a run came to.

use countersign_engine::testing::Mistake;

use crate::scene::Fault;

/// Something done wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// By the writer.
    Writer(Mistake),
    /// By the doors.
    Door(Fault),
    /// The store commits without waiting for the disk.
    StoreDoesNotSync,
    /// The store says that it has appended before it has.
    StoreAcknowledgesFirst,
    /// A checkpoint is published before it is persisted.
    PublishesFirst,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Runs.
    pub runs: u64,
    /// Lines in the ledger at the end.
    pub lines: u64,
    /// Times the gateway started.
    pub starts: u64,
    /// Power cuts.
    pub power_cuts: u64,
    /// Kills.
    pub kills: u64,
    /// Times that the store failed and recovered.
    pub failures: u64,
    /// What reached the upstream.
    pub executions: u64,
    /// Of that, by somebody's yes.
    pub approved: u64,
    /// Of that, in another session than the one that waited.
    pub elsewhere: u64,
    /// Of that, within bounds that were approved.
    pub within_bounds: u64,
    /// Scripts that were run to their end.
    pub scripts: u64,
    /// Reads answered.
    pub reads: u64,
    /// Reads recorded alongside that a crash cost.
    pub reads_lost: u64,
    /// Writes to the disk that a power cut took back.
    pub writes_lost: u64,
    /// Checkpoints seen.
    pub checkpoints: u64,
    /// Bundles put in force.
    pub bundles: u64,
}

impl Summary {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            runs: self.runs + other.runs,
            lines: self.lines + other.lines,
            starts: self.starts + other.starts,
            power_cuts: self.power_cuts + other.power_cuts,
            kills: self.kills + other.kills,
            failures: self.failures + other.failures,
            executions: self.executions + other.executions,
            approved: self.approved + other.approved,
            elsewhere: self.elsewhere + other.elsewhere,
            within_bounds: self.within_bounds + other.within_bounds,
            scripts: self.scripts + other.scripts,
            reads: self.reads + other.reads,
            reads_lost: self.reads_lost + other.reads_lost,
            writes_lost: self.writes_lost + other.writes_lost,
            checkpoints: self.checkpoints + other.checkpoints,
            bundles: self.bundles + other.bundles,
        }
    }
}

//! The cells of the table, and in which order they are filled.

use crate::options::Options;

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Load {
    /// `pgbench -S`, simple protocol: each text is another.
    Simple,
    /// The same, extended protocol: parsed and bound each time.
    Extended,
    /// The same, prepared once per connection.
    Prepared,
    /// An autocommitted UPDATE of one row, prepared.
    Update,
    /// One SELECT of five million rows.
    Select,
    /// The same rows, copied out.
    CopyOut,
    /// As many copied in.
    CopyIn,
}

/// Through what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variant {
    /// Nothing.
    Direct,
    /// A relay that copies bytes.
    Relay,
    /// pgbouncer in session mode.
    Bouncer,
    /// The gateway; provable reads are recorded alongside.
    Alongside,
    /// The gateway; provable reads are recorded before their answer is released.
    Release,
    /// As `Alongside`, with a masked column in what is read.
    Masked,
}

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// TLS to the client.
    pub tls: bool,
    /// What they do.
    pub load: Load,
    /// How many at once.
    pub clients: u32,
}

/// What is run once through everything before anything is measured.
pub const WARM_UP: Cell = Cell { tls: true, load: Load::Prepared, clients: 8 };

impl Load {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Simple,
        Self::Extended,
        Self::Prepared,
        Self::Update,
        Self::Select,
        Self::CopyOut,
        Self::CopyIn,
    ];

    /// Whether how much goes through is the question, not how many statements.
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Select | Self::CopyOut | Self::CopyIn)
    }

    /// Whether something is changed, so that it is recorded first.
    pub fn is_write(self) -> bool {
        matches!(self, Self::Update | Self::CopyIn)
    }

    /// In one word, for the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
            Self::Prepared => "prepared",
            Self::Update => "update",
            Self::Select => "select",
            Self::CopyOut => "copy-out",
            Self::CopyIn => "copy-in",
        }
    }
}

impl Variant {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Direct, Self::Relay, Self::Bouncer, Self::Alongside, Self::Release, Self::Masked];

    /// In one word, for the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relay => "relay",
            Self::Bouncer => "pgbouncer",
            Self::Alongside => "alongside",
            Self::Release => "release",
            Self::Masked => "masked",
        }
    }

    /// As tables have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alongside => "gateway, alongside",
            Self::Release => "gateway, before release",
            Self::Masked => "gateway, masked",
            other => other.word(),
        }
    }
}

impl Cell {
    /// As headings have it.
    pub fn name(&self) -> String {
        let tls = if self.tls { "TLS" } else { "no TLS" };
        let plural = if self.clients == 1 { "" } else { "s" };
        format!("{}, {} client{plural}, {tls}", self.load.word(), self.clients)
    }
}

/// All cells, those of one load together.
pub fn cells(options: &Options) -> Vec<Cell> {
    let mut cells = Vec::new();
    for &tls in &options.tls {
        for &load in &options.loads {
            match load {
                // Latency is the question, and a table's rows are locked one by one: few clients.
                Load::Update => cells.extend([1, 8].map(|clients| Cell { tls, load, clients })),
                load if load.is_stream() => cells.push(Cell { tls, load, clients: 1 }),
                _ => cells.extend(options.clients.iter().map(|&clients| Cell { tls, load, clients })),
            }
        }
    }
    cells
}

/// The variants of one round. Each round begins with another one, so that none always follows the same.
pub fn turn(cell: &Cell, options: &Options, bouncer: bool, round: u32) -> Vec<Variant> {
    let wanted = |variant: &&Variant| {
        options.variants.contains(variant)
            && (**variant != Variant::Bouncer || bouncer)
            // A write is recorded first, whatever the resource says of reads, and gives nothing back to be masked.
            && (!matches!(**variant, Variant::Alongside | Variant::Masked) || !cell.load.is_write())
    };
    let mut variants: Vec<Variant> = Variant::ALL.iter().filter(wanted).copied().collect();
    let shift = usize::try_from(round).unwrap_or(0) % variants.len().max(1);
    variants.rotate_left(shift);
    variants
}

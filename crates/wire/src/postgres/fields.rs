//! The two server messages with an inner list of records: errors and notices, and the description of a row.

use super::read::Reader;
use super::{Format, Malformed};

/// The fields of an `ErrorResponse` or `NoticeResponse`, known and unknown, in the order sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ErrorFields<'a>(&'a [u8]);

impl<'a> ErrorFields<'a> {
    pub(super) fn of(message: &'static str, body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(message, body);
        let start = reader.rest();
        let mut fields = Self(&[]);
        while reader.u8("field type")? != 0 {
            reader.text("field")?;
            fields = Self(reader.consumed_since(start));
        }
        reader.end()?;
        Ok(fields)
    }

    /// Type byte and text of each field (documentation, "Error and Notice Message Fields").
    pub fn iter(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let mut reader = Reader::new("field list", self.0);
        std::iter::from_fn(move || Some((reader.u8("field type").ok()?, reader.text("field").ok()?)))
    }

    /// The first field of a type.
    #[must_use]
    pub fn get(&self, kind: u8) -> Option<&'a [u8]> {
        self.iter().find(|(found, _)| *found == kind).map(|(_, text)| text)
    }

    /// The severity in English (`V`), or as it was sent (`S`) by servers before 9.6.
    #[must_use]
    pub fn severity(&self) -> Option<&'a [u8]> {
        self.get(b'V').or_else(|| self.get(b'S'))
    }

    /// The SQLSTATE.
    #[must_use]
    pub fn code(&self) -> Option<&'a [u8]> {
        self.get(b'C')
    }

    /// The primary message.
    #[must_use]
    pub fn message(&self) -> Option<&'a [u8]> {
        self.get(b'M')
    }

    /// Whether the server ends the connection with it.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self.severity(), Some(b"FATAL" | b"PANIC"))
    }
}

/// Errors quote people's data: only severity and SQLSTATE are printed.
impl std::fmt::Debug for ErrorFields<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |field: Option<&'_ [u8]>| field.unwrap_or_default().escape_ascii().to_string();
        write!(f, "ErrorFields({} {})", shown(self.severity()), shown(self.code()))
    }
}

/// The columns of a `RowDescription`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnNames<'a> {
    count: u16,
    bytes: &'a [u8],
}

/// One column of a `RowDescription`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// OID of the table it comes from; 0 if from none.
    pub table: u32,
    /// Number of the table's column; 0 if from none.
    pub number: i16,
    /// OID of its type.
    pub type_oid: u32,
    /// Size of the type in bytes; negative for variable sizes.
    pub type_size: i16,
    /// Modifier of the type; -1 for none.
    pub type_modifier: i32,
    /// Format of its values; text when only described.
    pub format: Format,
}

impl<'a> ColumnNames<'a> {
    pub(super) fn of(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("RowDescription", body);
        let count = reader.u16("number of columns")?;
        let bytes = reader.rest();
        for _ in 0..count {
            Column::read(&mut reader)?;
        }
        reader.end()?;
        Ok(Self { count, bytes })
    }

    /// How many columns there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none, which is lawful: `SELECT FROM t`.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The columns in order.
    pub fn iter(&self) -> impl Iterator<Item = Column<'a>> + use<'a> {
        let mut reader = Reader::new("RowDescription", self.bytes);
        (0..self.count).map_while(move |_| Column::read(&mut reader).ok())
    }
}

impl<'a> Column<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            name: reader.text("column name")?,
            table: reader.u32("table")?,
            number: reader.i16("column number")?,
            type_oid: reader.u32("type")?,
            type_size: reader.i16("type size")?,
            type_modifier: reader.i32("type modifier")?,
            format: reader.format("format")?,
        })
    }
}

//! Points and what is made of them, as the server writes them.

use super::{Reader, number};

/// The shapes that have one form each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Point,
    Line,
    Segment,
    Box,
    Path,
    Polygon,
    Circle,
}

pub(super) fn text(shape: Shape, bytes: &[u8]) -> Option<String> {
    let mut reader = Reader::new("geometry", bytes);
    let text = match shape {
        Shape::Point => point(&mut reader)?,
        Shape::Line => format!(
            "{{{},{},{}}}",
            coordinate(&mut reader)?,
            coordinate(&mut reader)?,
            coordinate(&mut reader)?
        ),
        Shape::Segment => format!("[{},{}]", point(&mut reader)?, point(&mut reader)?),
        Shape::Box => format!("{},{}", point(&mut reader)?, point(&mut reader)?),
        Shape::Path => {
            let closed = reader.u8("closed").ok()? != 0;
            let points = points(&mut reader)?;
            if closed { format!("({points})") } else { format!("[{points}]") }
        }
        Shape::Polygon => format!("({})", points(&mut reader)?),
        Shape::Circle => format!("<{},{}>", point(&mut reader)?, coordinate(&mut reader)?),
    };
    reader.end().ok()?;
    Some(text)
}

fn points(reader: &mut Reader<'_>) -> Option<String> {
    let count = usize::try_from(reader.count_u31("count").ok()?).ok()?;
    if count.checked_mul(16)? != reader.rest().len() {
        return None;
    }
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        all.push(point(reader)?);
    }
    Some(all.join(","))
}

fn point(reader: &mut Reader<'_>) -> Option<String> {
    Some(format!("({},{})", coordinate(reader)?, coordinate(reader)?))
}

fn coordinate(reader: &mut Reader<'_>) -> Option<String> {
    let bytes = reader.take(8, "coordinate").ok()?.try_into().ok()?;
    Some(number::float8(f64::from_be_bytes(bytes)))
}

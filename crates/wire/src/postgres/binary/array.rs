//! Arrays as the server writes them: `{1,NULL,"a b"}`.

use super::{Form, Reader, Shape, Type, scalar};

/// Where identifiers of what users make begin (`FirstNormalObjectId`).
const FIRST_USER_OID: u32 = 16_384;
/// How many dimensions an array has at most (`MAXDIM`).
const DIMENSIONS_MAX: u32 = 6;

/// Dimensions, whether there are NULLs, the element's type; length and lower bound of each dimension; the elements.
pub(super) fn text(of: &Type, bytes: &[u8]) -> Option<String> {
    let form = of.form?;
    let mut reader = Reader::new("array", bytes);
    let count = reader.u32("dimensions").ok().filter(|count| *count <= DIMENSIONS_MAX)?;
    reader.u32("flags").ok().filter(|flags| *flags <= 1)?;
    reader.u32("element type").ok().filter(|oid| *oid == of.oid || *oid >= FIRST_USER_OID)?;
    let (mut lengths, mut bounds) = (Vec::new(), Vec::new());
    for _ in 0..count {
        lengths.push(reader.count_u31("length").ok()?);
        bounds.push(reader.i32("lower bound").ok()?);
    }
    let elements = lengths.iter().try_fold(1_u32, |all, length| all.checked_mul(*length))?;
    if count == 0 || elements == 0 {
        reader.end().ok()?;
        return Some("{}".to_owned());
    }
    // Each element has a length at least: more than that many bytes can't be asked for.
    if usize::try_from(elements).ok()?.checked_mul(4)? > reader.rest().len() {
        return None;
    }
    let mut out = prefix(&lengths, &bounds);
    // Boxes have commas of their own, and no quotes (`typdelim`).
    let between = if form == Form::Geometry(Shape::Box) { ';' } else { ',' };
    write(&mut out, (form, between), &mut reader, &lengths)?;
    reader.end().ok()?;
    Some(out)
}

/// Bounds are written where one of them is not 1.
fn prefix(lengths: &[u32], bounds: &[i32]) -> String {
    if bounds.iter().all(|bound| *bound == 1) {
        return String::new();
    }
    let span = |(length, bound): (&u32, &i32)| {
        let last = i64::from(*bound) + i64::from(*length) - 1;
        format!("[{bound}:{last}]")
    };
    let spans: String = lengths.iter().zip(bounds).map(span).collect();
    format!("{spans}=")
}

fn write(out: &mut String, how: (Form, char), reader: &mut Reader<'_>, lengths: &[u32]) -> Option<()> {
    let (form, between) = how;
    let Some((length, inner)) = lengths.split_first() else {
        match reader.value_bytes("element").ok()? {
            None => out.push_str("NULL"),
            Some(bytes) => push_quoted(out, &scalar(form, bytes)?, between),
        }
        return Some(());
    };
    out.push('{');
    for index in 0..*length {
        if index > 0 {
            out.push(between);
        }
        write(out, how, reader, inner)?;
    }
    out.push('}');
    Some(())
}

fn push_quoted(out: &mut String, text: &str, between: char) {
    let special = |c: char| {
        c == between || matches!(c, '"' | '\\' | '{' | '}' | ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}')
    };
    if !text.is_empty() && !text.eq_ignore_ascii_case("null") && !text.contains(special) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::super::text;

    /// Header words, then elements.
    fn array(words: &[i32], elements: &[Option<&[u8]>]) -> Vec<u8> {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        for element in elements {
            let length = element.map_or(-1, |element| i32::try_from(element.len()).unwrap());
            bytes.extend(length.to_be_bytes());
            bytes.extend(element.unwrap_or_default());
        }
        bytes
    }

    #[test]
    fn arrays_read_as_the_server_writes_them() {
        let (one, two) = (1_i32.to_be_bytes(), 2_i32.to_be_bytes());
        let ints = array(&[1, 1, 23, 3, 1], &[Some(&one), None, Some(&two)]);
        assert_eq!(text(1007, &ints).as_deref(), Some("{1,NULL,2}"));
        let square = array(&[2, 0, 23, 2, 1, 1, 1], &[Some(&one), Some(&two)]);
        assert_eq!(text(1007, &square).as_deref(), Some("{{1},{2}}"));
        let shifted = array(&[1, 0, 23, 2, 0], &[Some(&one), Some(&two)]);
        assert_eq!(text(1007, &shifted).as_deref(), Some("[0:1]={1,2}"));
        assert_eq!(text(1007, &array(&[0, 0, 23], &[])).as_deref(), Some("{}"));
        let flags = array(&[1, 0, 16, 2, 1], &[Some(&[1]), Some(&[0])]);
        assert_eq!(text(1000, &flags).as_deref(), Some("{true,false}"));
        let words = array(&[1, 0, 25, 4, 1], &[Some(b"a b"), Some(b"null"), Some(b""), Some(b"\"\\")]);
        assert_eq!(text(1009, &words).as_deref(), Some(r#"{"a b","null","","\"\\"}"#));
    }

    #[test]
    fn hostile_arrays_have_no_text() {
        let one = 1_i32.to_be_bytes();
        for bytes in [
            array(&[1, 0, 23, i32::MAX, 1], &[Some(&one)]),
            array(&[2, 0, 23, i32::MAX, 1, i32::MAX, 1], &[]),
            array(&[7, 0, 23], &[]),
            array(&[1, 2, 23, 1, 1], &[Some(&one)]),
            array(&[1, 0, 20, 1, 1], &[Some(&one)]),
            array(&[1, 0, 23, 1, 1], &[Some(&one), Some(&one)]),
            array(&[1, 0, 23, -1, 1], &[Some(&one)]),
            array(&[1, 0, 23, 1, 1], &[Some(&one[..2])]),
        ] {
            assert_eq!(text(1007, &bytes), None, "{bytes:?}");
        }
    }
}

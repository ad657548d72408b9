//! The fields of an encoded protobuf message, borrowed from it.
//!
//! Groups, which nothing in the data model uses, are read over.

/// Bits of a protobuf field key below the field number.
const WIRE_TYPE_BITS: u32 = 3;
/// The wire types that open and close a group.
const START_GROUP: u64 = 3;
const END_GROUP: u64 = 4;
/// The largest field number.
const FIELD_NUMBER_MAX: u32 = (1 << 29) - 1;
/// Groups within groups that are read over; the decoder of the data model reads over as many.
const GROUP_DEPTH_MAX: usize = 100;
/// Bytes of the longest varint.
pub(crate) const VARINT_BYTES_MAX: usize = 10;

/// What a protobuf field holds, by wire type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
    /// A group, whatever is in it.
    Group,
}

impl<'a> Wire<'a> {
    pub(crate) fn bytes(self) -> Option<&'a [u8]> {
        if let Wire::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    pub(super) fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(super) fn double(self) -> Option<f64> {
        if let Wire::Fixed64(bits) = self { Some(f64::from_bits(bits)) } else { None }
    }

    pub(super) fn unsigned(self) -> Option<u64> {
        if let Wire::Varint(value) = self { Some(value) } else { None }
    }
}

/// Reads the fields of one encoded message, in their order.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Fields { rest: message }
    }

    /// Whether all bytes were read. Still false after the iteration: the message is malformed.
    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Reads a varint and moves behind it; `None` leaves the position where it was.
    #[inline]
    pub(crate) fn varint(&mut self) -> Option<u64> {
        // Nearly all keys, lengths and counts fit in one byte.
        if let [first @ 0..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Some(u64::from(*first));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for (index, byte) in self.rest.iter().take(VARINT_BYTES_MAX).enumerate() {
            let bits = u64::from(byte & 0x7f);
            let shift = u32::try_from(7 * index).ok()?;
            if bits.leading_zeros() < shift {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                self.rest = self.rest.get(index + 1..)?;
                return Some(value);
            }
        }
        None
    }

    /// Takes the next bytes, if there are as many.
    pub(crate) fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, Wire<'a>);

    #[inline]
    fn next(&mut self) -> Option<(u32, Wire<'a>)> {
        let start = self.rest;
        let field = self.read_field();
        if field.is_none() {
            self.rest = start;
        }
        field
    }
}

impl<'a> Fields<'a> {
    #[inline]
    fn read_field(&mut self) -> Option<(u32, Wire<'a>)> {
        let (number, wire_type) = self.read_key()?;
        if wire_type == START_GROUP {
            self.skip_group(number)?;
            return Some((number, Wire::Group));
        }
        Some((number, self.read_value(wire_type)?))
    }

    #[inline]
    fn read_key(&mut self) -> Option<(u32, u64)> {
        let key = self.varint()?;
        let number = u32::try_from(key >> WIRE_TYPE_BITS).ok()?;
        (1..=FIELD_NUMBER_MAX).contains(&number).then_some((number, key & 7))
    }

    #[inline]
    fn read_value(&mut self, wire_type: u64) -> Option<Wire<'a>> {
        Some(match wire_type {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = self.varint()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        })
    }

    /// Moves behind the end of a group whose start has been read.
    #[cold]
    fn skip_group(&mut self, number: u32) -> Option<()> {
        let mut open = vec![number];
        while let Some(innermost) = open.last().copied() {
            match self.read_key()? {
                (number, START_GROUP) if open.len() < GROUP_DEPTH_MAX => open.push(number),
                (number, END_GROUP) if number == innermost => drop(open.pop()),
                (_, wire_type) => drop(self.read_value(wire_type)?),
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_over() {
        let deep = |depth: usize| [vec![0x0b; depth], vec![0x0c; depth]].concat();
        for (message, read) in [
            (&b"\x0b\x0c"[..], true),
            (b"\x0b\x08\x96\x01\x12\x01\x0c\x13\x14\x1d\x00\x00\x00\x00\x0c", true),
            (&deep(GROUP_DEPTH_MAX), true),
            (&deep(GROUP_DEPTH_MAX + 1), false),
            (b"\x0b", false),
            (b"\x0c", false),
            (b"\x0b\x14", false),
            (b"\x0b\x0f\x0c", false),
            (b"\x0b\x12\x05\x0c", false),
        ] {
            // What follows is found again.
            let message = [message, b"\x10\x05"].concat();
            let expected = vec![(1, Wire::Group), (2, Wire::Varint(5))];
            let mut fields = Fields::new(&message);
            let found: Vec<_> = fields.by_ref().collect();
            let expected = if read { expected } else { vec![] };
            assert_eq!((found, fields.is_at_end()), (expected, read), "{}", message.escape_ascii());
        }
    }

    #[test]
    fn field_numbers_have_bounds() {
        for (message, number) in [
            (&b"\x00\x01"[..], None),
            (b"\x08\x01", Some(1)),
            (b"\xf8\xff\xff\xff\x0f\x01", Some(FIELD_NUMBER_MAX)),
            (b"\x80\x80\x80\x80\x10\x01", None),
        ] {
            let found = Fields::new(message).next().map(|(number, _)| number);
            assert_eq!(found, number, "{}", message.escape_ascii());
        }
    }
}

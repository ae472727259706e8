//! The text form of resources, read and written.
//!
//! ```text
//! resources   = item { ";" item }
//! item        = name [ "(" reserved ")" ] { marker } ":" value [ revocable ]
//! reserved    = role | "reservations: [" level { "," level } "]"
//! level       = "(" ( "STATIC" | "DYNAMIC" ) "," role [ "," principal ] [ "," labels ] ")"
//! labels      = "{" key ":" text { "," key ":" text } "}"
//! marker      = "[" volume-id ":" container-path "]" | "<SHARED>" | revocable
//! revocable   = "{REV}" | "[REVOCABLE]"
//! value       = decimal | "[" ranges "]" | "{" items "}"
//! ```
//!
//! A single static reservation is written as the role alone, and `(*)` means unreserved.

use std::fmt;
use std::str::FromStr;

use compact_str::CompactString;

use super::cursor::{Cursor, Word};
use super::error::ParseReason;
use super::{
    Kind, ParseError, Reservation, ReservationKind, Resource, ResourceError, Resources, Role, Scalar, Value,
    Volume,
};

impl FromStr for Resources {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut parts: Vec<Resource> = Vec::new();
        let mut cursor = Cursor::new(text);
        while !cursor.at_end() {
            if cursor.eat(";") {
                continue;
            }
            let at = cursor.at();
            let part = cursor.resource()?;
            cursor.end_of_item()?;
            let other_type = |held: &Resource| {
                held.kind() == part.kind() && held.value().type_name() != part.value().type_name()
            };
            if parts.iter().any(other_type) {
                return Err(ParseError { at, reason: ParseReason::TwoTypes { kind: part.kind().clone() } });
            }
            parts.push(part);
        }
        Self::try_from_parts(parts).map_err(|error| ParseError { at: 0, reason: error.into() })
    }
}

impl Cursor<'_> {
    pub(super) fn kind(&mut self) -> Result<Kind, ParseError> {
        let (at, name) = (self.at_next(), self.bare());
        name.parse().map_err(failed(at))
    }

    pub(super) fn scalar(&mut self) -> Result<Scalar, ParseError> {
        let (at, number) = (self.at_next(), self.bare());
        number.parse().map_err(failed(at))
    }

    pub(super) fn end_of_item(&mut self) -> Result<(), ParseError> {
        if self.at_end() || self.sees(";") { Ok(()) } else { Err(self.expected("';' or the end")) }
    }

    fn resource(&mut self) -> Result<Resource, ParseError> {
        let at = self.at();
        let kind = self.kind()?;
        let reservations = if self.eat("(") { self.reservations()? } else { Vec::new() };
        let mut volume = None;
        let (mut revocable, mut shared) = (false, false);
        while !self.eat(":") {
            if self.revocable() {
                revocable = true;
            } else if self.eat("<SHARED>") {
                shared = true;
            } else if volume.is_none() && self.eat("[") {
                volume = Some(self.volume()?);
            } else {
                return Err(self.expected("':' and a value"));
            }
        }
        let value = self.value()?;
        revocable |= self.revocable();

        let build = || -> Result<Resource, ResourceError> {
            let mut resource = Resource::new(kind, value)?;
            if revocable {
                resource = resource.into_revocable()?;
            }
            for reservation in reservations {
                resource = resource.push_reservation(reservation)?;
            }
            match volume {
                Some(volume) => resource.with_volume(volume, shared),
                None if shared => Err(ResourceError::SharedWithoutVolume { kind: resource.kind().clone() }),
                None => Ok(resource),
            }
        };
        build().map_err(failed(at))
    }

    fn revocable(&mut self) -> bool {
        self.eat("{REV}") || self.eat("[REVOCABLE]")
    }

    fn volume(&mut self) -> Result<Volume, ParseError> {
        let id = self.word("a volume's id, or REVOCABLE]")?;
        self.expect(":")?;
        let container_path = self.word("the path of the volume in its container")?;
        self.expect("]")?;
        Ok(Volume { id, container_path })
    }

    fn value(&mut self) -> Result<Value, ParseError> {
        if self.sees("[") {
            self.ranges().map(Value::Ranges)
        } else if self.sees("{") {
            self.items().map(Value::Set)
        } else {
            self.scalar().map(Value::Scalar)
        }
    }

    /// Reads what stands between parentheses, and the closing one.
    fn reservations(&mut self) -> Result<Vec<Reservation>, ParseError> {
        let role = self.role()?;
        if role.as_str() == "reservations" && self.eat(":") {
            let levels = self.list("[", "]", Self::reservation)?;
            self.expect(")")?;
            return Ok(levels);
        }
        self.expect(")")?;
        Ok(if role.is_any() { Vec::new() } else { vec![Reservation::fixed(role)] })
    }

    fn reservation(&mut self) -> Result<Reservation, ParseError> {
        self.expect("(")?;
        let kind = if self.eat("STATIC") {
            ReservationKind::Static
        } else if self.eat("DYNAMIC") {
            ReservationKind::Dynamic
        } else {
            return Err(self.expected("STATIC or DYNAMIC"));
        };
        self.expect(",")?;
        let mut reservation = Reservation { kind, ..Reservation::fixed(self.role()?) };
        let mut more = self.eat(",");
        if more && !self.sees("{") {
            reservation.principal = Some(self.word("a principal or labels")?);
            more = self.eat(",");
        }
        if more {
            reservation.labels = self.list("{", "}", Self::label)?;
        }
        self.expect(")")?;
        Ok(reservation)
    }

    fn label(&mut self) -> Result<(CompactString, CompactString), ParseError> {
        let key = self.word("a label's key")?;
        self.expect(":")?;
        Ok((key, self.word("a label's text")?))
    }

    fn role(&mut self) -> Result<Role, ParseError> {
        let at = self.at_next();
        let role = self.word("a role")?;
        Role::try_from(role).map_err(failed(at))
    }
}

/// Puts what is wrong at its place.
fn failed<E: Into<ParseReason>>(at: usize) -> impl FnOnce(E) -> ParseError {
    move |error| ParseError { at, reason: error.into() }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, resource) in self.iter().enumerate() {
            let semicolon = if index == 0 { "" } else { ";" };
            write!(f, "{semicolon}{resource}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind())?;
        match self.reservations() {
            [] => {}
            [only] if *only == Reservation::fixed(only.role.clone()) => {
                write!(f, "({})", Word(only.role.as_str()))?;
            }
            [bottom, above @ ..] => {
                write!(f, "(reservations: [{bottom}")?;
                above.iter().try_for_each(|level| write!(f, ",{level}"))?;
                f.write_str("])")?;
            }
        }
        if let Some(Volume { id, container_path }) = self.volume() {
            write!(f, "[{}:{}]", Word(id), Word(container_path))?;
        }
        if self.is_revocable() {
            f.write_str("{REV}")?;
        }
        if self.is_shared() {
            f.write_str("<SHARED>")?;
        }
        write!(f, ":{}", self.value())
    }
}

impl fmt::Display for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ReservationKind::Static => "STATIC",
            ReservationKind::Dynamic => "DYNAMIC",
        };
        write!(f, "({kind},{}", Word(self.role.as_str()))?;
        if let Some(principal) = &self.principal {
            write!(f, ",{}", Word(principal))?;
        }
        if !self.labels.is_empty() {
            for (index, (key, text)) in self.labels.iter().enumerate() {
                let open = if index == 0 { ",{" } else { "," };
                write!(f, "{open}{}: {}", Word(key), Word(text))?;
            }
            f.write_str("}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(scalar) => scalar.fmt(f),
            Self::Ranges(ranges) => ranges.fmt(f),
            Self::Set(items) => items.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::strategies;
    use super::*;

    fn printed(text: &str) -> String {
        text.parse::<Resources>().unwrap_or_else(|error| panic!("{text}: {error}")).to_string()
    }

    #[test]
    fn every_way_of_writing_has_one_way_of_printing() {
        for (text, expected) in [
            ("", ""),
            (" ; ", ""),
            ("cpus:0;gpus:0;mem:1", "mem:1"),
            (
                "ports:[31000-32000,33000-33100];cpus:2;mem:1024;disk:0",
                "cpus:2;mem:1024;ports:[31000-32000,33000-33100]",
            ),
            ("cpus(*):2; cpus:1 ;", "cpus:3"),
            ("tags:{b,a};cpus(eng/dev):2", "cpus(eng/dev):2;tags:{a,b}"),
            ("cpus{REV}:2", "cpus{REV}:2"),
            ("cpus(*){REV}:2", "cpus{REV}:2"),
            ("cpus:2[REVOCABLE]", "cpus{REV}:2"),
            ("cpus(eng)[REVOCABLE]:2", "cpus(eng){REV}:2"),
            ("ports:[1-2][REVOCABLE]", "ports{REV}:[1-2]"),
            ("disk(eng)[v:data]<SHARED>:1", "disk(eng)[v:data]<SHARED>:1"),
            ("cpus(reservations: [(STATIC,eng)]):1", "cpus(eng):1"),
            (
                "cpus(reservations:[(STATIC,eng),(DYNAMIC,eng/dev,ann,{k:v,\"a b\": c})]):1",
                "cpus(reservations: [(STATIC,eng),(DYNAMIC,eng/dev,ann,{\"a b\": c,k: v})]):1",
            ),
            ("cpus(reservations):1", "cpus(reservations):1"),
            ("disk(eng)[REVOCABLE:x]:1", "disk(eng)[REVOCABLE:x]:1"),
        ] {
            assert_eq!(printed(text), expected, "{text}");
            assert_eq!(printed(expected), expected);
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, error) in [
            ("cpus", "at byte 4: expected ':' and a value"),
            ("cpus:", "at byte 5: expected a decimal number such as 2 or 0.5"),
            ("cpus:1;mem:x", "at byte 11: expected a decimal number such as 2 or 0.5"),
            ("cpus:-1", "at byte 5: an amount can't be negative"),
            ("cpus:0.00001", "at byte 5: an amount other than zero must be at least 0.001"),
            ("cpus:1 mem:2", "at byte 7: expected ';' or the end"),
            (":1", "at byte 0: a resource needs a name"),
            ("cpus(:1", "at byte 5: expected a role"),
            (
                "cpus(a//b):1",
                "at byte 5: role \"a//b\" has an empty component: no '/' at its ends, and no two in a row",
            ),
            ("cpus(eng:1", "at byte 8: expected )"),
            ("cpus:[1-2]", "at byte 0: cpus is given as a scalar, not as ranges"),
            ("ports:[5-2]", "at byte 7: range 5-2 ends before it begins"),
            (
                "mem:1; gpus:0.5",
                "at byte 7: gpus must be a whole number, not 0.5; shared ones are given by device, as gpu_milli:[0-999]",
            ),
            ("tags:{a};tags:1", "at byte 9: tags is given with two types of value"),
            ("disk[v:p]:1", "at byte 0: volume \"v\" needs disk that is reserved"),
            ("cpus<SHARED>:1", "at byte 0: cpus without a volume can't be shared"),
            (
                "cpus(reservations: [(STATIC,eng),(DYNAMIC,ops)]):1",
                "at byte 0: cpus(eng):1 is reserved to eng; only a role below that can refine it, not ops",
            ),
            ("cpus(reservations: [(OTHER,eng)]):1", "at byte 21: expected STATIC or DYNAMIC"),
        ] {
            assert_eq!(text.parse::<Resources>().unwrap_err().to_string(), error);
        }
    }

    proptest! {
        #[test]
        fn printing_parses_back(resources in strategies::resources()) {
            let text = resources.to_string();
            prop_assert_eq!(text.parse(), Ok(resources), "{}", text);
        }

        #[test]
        fn reading_never_panics(
            text in "((cpus|disk|ports|t)[(]?(eng|reservations: [\\[][(]STATIC,a[)])?[)]?([{]REV[}]|[\\[]v:p\\])?:?[\\[{]?[0-9a\"-]{0,3}[\\]}]?;?){0,3}|.{0,12}",
        ) {
            if let Ok(resources) = text.parse::<Resources>() {
                prop_assert_eq!(resources.to_string().parse(), Ok(resources));
            }
        }
    }
}

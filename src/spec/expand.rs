//! References such as `${PORT_HTTP}` in text.

/// A text whose references can't be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A name that there is no value for.
    #[error("unknown name '{name}' in '{template}'; write $${{{name}}} if it is not a reference")]
    Unknown {
        /// The name.
        name: String,
        /// The whole text.
        template: String,
    },
    /// A `${` without its `}`.
    #[error("'${{' without '}}' in '{template}'; write $${{ if it is not a reference")]
    Unclosed {
        /// The whole text.
        template: String,
    },
    /// What stands between the braces is not a name.
    #[error("'{name}' in '{template}' is not a name: letters, digits and _, not beginning with a digit")]
    BadName {
        /// What stands there.
        name: String,
        /// The whole text.
        template: String,
    },
}

/// Replaces each `${NAME}` by its value; `$${` stands for `${`. A `$` before anything else stands for itself, and values
/// are not expanded again.
///
/// ```
/// use apportion::spec::expand;
///
/// let lookup = |name: &str| (name == "INDEX").then_some("7");
/// assert_eq!(expand("shard-${INDEX} of $${HOME}", lookup)?, "shard-7 of ${HOME}");
/// assert!(expand("${HOME}", lookup).is_err());
/// # Ok::<(), apportion::spec::ExpandError>(())
/// ```
///
/// # Errors
/// When a name has no value or is none, or a brace is not closed.
pub fn expand<'v>(template: &str, lookup: impl Fn(&str) -> Option<&'v str>) -> Result<String, ExpandError> {
    let mut expanded = String::with_capacity(template.len());
    for piece in pieces(template) {
        match piece? {
            Piece::Literal(text) => expanded.push_str(text),
            Piece::Reference(name) => {
                let unknown =
                    || ExpandError::Unknown { name: name.to_owned(), template: template.to_owned() };
                expanded.push_str(lookup(name).ok_or_else(unknown)?);
            }
        }
    }
    Ok(expanded)
}

/// The names that a text refers to, in order; with an error, as [`expand`] would have it, as the last item.
pub fn references(template: &str) -> impl Iterator<Item = Result<&str, ExpandError>> {
    pieces(template).filter_map(|piece| match piece {
        Ok(Piece::Reference(name)) => Some(Ok(name)),
        Ok(Piece::Literal(_)) => None,
        Err(error) => Some(Err(error)),
    })
}

enum Piece<'t> {
    Literal(&'t str),
    Reference(&'t str),
}

fn pieces(template: &str) -> impl Iterator<Item = Result<Piece<'_>, ExpandError>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        let piece = next_piece(template, &mut rest)?;
        if piece.is_err() {
            rest = "";
        }
        Some(piece)
    })
}

fn next_piece<'t>(template: &str, rest: &mut &'t str) -> Option<Result<Piece<'t>, ExpandError>> {
    if rest.is_empty() {
        return None;
    }
    if let Some(after) = rest.strip_prefix("$${") {
        let literal = &rest[1..3];
        *rest = after;
        return Some(Ok(Piece::Literal(literal)));
    }
    if let Some(after) = rest.strip_prefix("${") {
        let Some((name, after)) = after.split_once('}') else {
            return Some(Err(ExpandError::Unclosed { template: template.to_owned() }));
        };
        if !is_name(name) {
            let (name, template) = (name.to_owned(), template.to_owned());
            return Some(Err(ExpandError::BadName { name, template }));
        }
        *rest = after;
        return Some(Ok(Piece::Reference(name)));
    }
    // Up to the next reference or escape, whose `$` is the second of three in `$$${`.
    let end = rest
        .char_indices()
        .skip(1)
        .map(|(at, _)| at)
        .find(|at| rest[*at..].starts_with("${") || rest[*at..].starts_with("$${"))
        .unwrap_or(rest.len());
    let (literal, after) = rest.split_at(end);
    *rest = after;
    Some(Ok(Piece::Literal(literal)))
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expanded(template: &str) -> Result<String, ExpandError> {
        expand(template, |name| match name {
            "A" => Some("1"),
            "B" => Some("${A}"),
            _ => None,
        })
    }

    #[test]
    fn references_are_filled_in_once() {
        for (template, expected) in [
            ("", ""),
            ("${A}${A}", "11"),
            ("x${B}", "x${A}"),
            ("$A $", "$A $"),
            ("$${A}", "${A}"),
            ("$$${A}", "$${A}"),
        ] {
            assert_eq!(expanded(template).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn errors_name_what_they_are_about() {
        let message = |template| expanded(template).unwrap_err().to_string();
        assert_eq!(message("x${C}"), "unknown name 'C' in 'x${C}'; write $${C} if it is not a reference");
        assert_eq!(message("x${C"), "'${' without '}' in 'x${C'; write $${ if it is not a reference");
        assert!(message("${1}").starts_with("'1' in '${1}' is not a name"));
    }

    #[test]
    fn references_are_listed() {
        let found: Result<Vec<_>, _> = references("${A} $${B} ${C}").collect();
        assert_eq!(found, Ok(vec!["A", "C"]));
        assert_eq!(references("${A} ${").filter(Result::is_err).count(), 1);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[$A{}é]{0,12}|.{0,12}") {
            let listed: Result<Vec<_>, _> = references(&text).collect();
            prop_assert_eq!(listed.is_ok(), expand(&text, |_| Some("")).is_ok());
        }
    }
}

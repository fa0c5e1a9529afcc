//! Taking out of a text what may not be read by everybody.

/// Shortens every run of seven or more digits, with a `+` or not, to its last four: `+14155550100` becomes `…0100`.
///
/// Digits joined to letters (identifiers such as `CA0123…`) are left alone: they name calls, not people.
#[must_use]
pub fn numbers_in(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < characters.len() {
        let starts_word = i == 0 || !is_word(characters[i - 1]);
        let digits_from = if characters[i] == '+' { i + 1 } else { i };
        let mut end = digits_from;
        while end < characters.len() && characters[end].is_ascii_digit() {
            end += 1;
        }
        let ends_word = end == characters.len() || !is_word(characters[end]);
        if starts_word && ends_word && end - digits_from >= 7 {
            out.push('…');
            out.extend(&characters[end - 4..end]);
            i = end;
        } else {
            let next = end.max(i + 1);
            out.extend(&characters[i..next]);
            i = next;
        }
    }
    out
}

/// A URL up to its port: what follows may be a token.
pub(crate) fn origin_of(url: &crate::Url) -> String {
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{}{port}/…", url.scheme(), url.host_str().unwrap_or_default())
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || character == '-'
}

#[cfg(test)]
mod tests {
    use super::numbers_in;

    #[test]
    fn numbers_go_identifiers_stay() {
        assert_eq!(numbers_in("The 'To' number +14155550100 is not valid"), "The 'To' number …0100 is not valid");
        assert_eq!(numbers_in("14155550100,4930123456"), "…0100,…3456");
        assert_eq!(numbers_in("code 21211, call CA00112233445566"), "code 21211, call CA00112233445566");
        assert_eq!(numbers_in("aaaaaaaa-bbbb-cccc-dddd-012345678901"), "aaaaaaaa-bbbb-cccc-dddd-012345678901");
        assert_eq!(numbers_in("+"), "+");
        assert_eq!(numbers_in(""), "");
    }

    proptest::proptest! {
        #[test]
        fn a_whole_number_never_survives(before in "[ a-z(:]{0,5}[ (:]", digits in "[1-9][0-9]{7,14}", after in "[ ),.]{0,3}") {
            let out = numbers_in(&format!("{before}+{digits}{after}"));
            proptest::prop_assert!(!out.contains(&digits));
        }
    }
}

//! JSON that keeps what a comparison must see: the order of keys, and numbers and strings exactly as
//! they were written.

/// A value; strings and numbers are kept raw.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Json {
    Raw(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Nothing if the text is not JSON.
    pub(crate) fn parse(text: &str) -> Option<Json> {
        // The strict check is serde's; what follows may then trust the text.
        serde_json::from_str::<serde_json::Value>(text).ok()?;
        let mut rest = text.trim();
        value(&mut rest)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Json> {
        let Json::Object(fields) = self else { return None };
        fields.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Json> {
        let Json::Object(fields) = self else { return None };
        fields.iter_mut().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// Applies `change` to every field of every object, outermost first.
    pub(crate) fn visit(&mut self, change: &mut impl FnMut(&str, &mut Json)) {
        match self {
            Json::Raw(_) => {}
            Json::List(items) => items.iter_mut().for_each(|item| item.visit(change)),
            Json::Object(fields) => {
                for (key, item) in fields {
                    change(key, item);
                    item.visit(change);
                }
            }
        }
    }

    /// As text, an object or list of more than one level spread over lines.
    pub(crate) fn pretty(&self, indent: usize) -> String {
        let pad = "  ".repeat(indent + 1);
        let close = "  ".repeat(indent);
        let nested = |items: &[&Json]| items.iter().any(|item| !matches!(item, Json::Raw(_)));
        match self {
            Json::Raw(raw) => raw.clone(),
            Json::List(items) => {
                let spread = nested(&items.iter().collect::<Vec<_>>());
                let items = items.iter().map(|item| item.pretty(indent + 1));
                join(items, '[', ']', spread, &pad, &close)
            }
            Json::Object(fields) => {
                let spread = nested(&fields.iter().map(|(_, v)| v).collect::<Vec<_>>());
                let fields =
                    fields.iter().map(|(k, v)| format!("\"{k}\":{}", v.pretty(indent + 1)));
                join(fields, '{', '}', spread, &pad, &close)
            }
        }
    }
}

fn join(
    items: impl Iterator<Item = String>,
    open: char,
    end: char,
    spread: bool,
    pad: &str,
    close: &str,
) -> String {
    let items: Vec<String> = items.collect();
    if spread {
        format!("{open}\n{pad}{}\n{close}{end}", items.join(&format!(",\n{pad}")))
    } else {
        format!("{open}{}{end}", items.join(","))
    }
}

fn value(rest: &mut &str) -> Option<Json> {
    skip(rest);
    match rest.chars().next()? {
        '[' => {
            let mut items = Vec::new();
            while more(rest, ']')? {
                items.push(value(rest)?);
            }
            Some(Json::List(items))
        }
        '{' => {
            let mut fields = Vec::new();
            while more(rest, '}')? {
                skip(rest);
                let key = string(rest)?;
                skip(rest);
                *rest = rest.strip_prefix(':')?;
                fields.push((key.trim_matches('"').to_owned(), value(rest)?));
            }
            Some(Json::Object(fields))
        }
        '"' => Some(Json::Raw(string(rest)?)),
        _ => {
            let end = rest.find([',', ']', '}']).unwrap_or(rest.len());
            let (raw, after) = rest.split_at(end);
            *rest = after;
            Some(Json::Raw(raw.trim().to_owned()))
        }
    }
}

fn skip(rest: &mut &str) {
    *rest = rest.trim_start();
}

/// Steps over an opening bracket or a comma; false at the closing bracket.
fn more(rest: &mut &str, end: char) -> Option<bool> {
    skip(rest);
    let opening = rest.starts_with(['[', '{']);
    if !rest.starts_with(end) {
        *rest = rest.get(1..)?;
        skip(rest);
        if !opening || !rest.starts_with(end) {
            return Some(true);
        }
    }
    *rest = rest.get(1..)?;
    Some(false)
}

/// A string with its quotes and escapes as written.
fn string(rest: &mut &str) -> Option<String> {
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find_map(|(at, c)| match c {
        '"' if !escaped => Some(at + 1),
        _ => {
            escaped = c == '\\' && !escaped;
            None
        }
    })?;
    let (raw, after) = rest.split_at(end);
    *rest = after;
    Some(raw.to_owned())
}

#[test]
fn order_and_spelling_survive() {
    let text = r#"{"z":{"b":"1e+06","a":[]},"list":[{},1,[2,"x\"]"]],"y":"\u003c"}"#;
    let json = Json::parse(text).unwrap();
    let flat: String = json.pretty(0).lines().map(str::trim).collect();
    assert_eq!(flat, text);
    assert_eq!(json.get("z").unwrap().get("b"), Some(&Json::Raw("\"1e+06\"".to_owned())));
}

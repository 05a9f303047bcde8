//! What kind of query it is: one for the store, one we finish ourselves, or one that has to wait.
//!
//! Microsoft's SDK refuses aggregates and GROUP BY over more than one partition (`azure_data_cosmos`
//! 1.0.0, "unsupported query feature"). The plain ones are computed here.
//!
//! | query                                              | in one partition | in several             |
//! |----------------------------------------------------|------------------|------------------------|
//! | neither aggregate nor GROUP BY                     | to the store     | to the store           |
//! | `SELECT [VALUE] COUNT(x), ... FROM c [WHERE ...]`  | to the store     | x to here, folded here |
//! | any other with an aggregate or GROUP BY            | to the store     | refused                |
//!
//! Aggregates are COUNT, SUM, MIN, MAX and AVG. Inside a subquery they belong to one document and
//! are the store's. The recognizer is strict: what it does not know word by word is refused, never
//! half understood.

use super::token::{Kind, Token, tokens};

/// What to do with a query over all partitions.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Send it as it is.
    Plain,
    /// Ask for the arguments of its aggregates, and fold them.
    Fold(Fold),
    /// It cannot be answered over all partitions, because of this.
    Refused(&'static str),
}

/// A query of nothing but aggregates.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fold {
    /// Asks for the arguments of every document, as `a0`, `a1` and so on.
    pub(super) projection: String,
    /// The aggregates in order.
    pub(super) aggregates: Vec<Aggregate>,
    /// Whether the answer is a bare value (`SELECT VALUE`).
    pub(super) value: bool,
}

/// One aggregate of the SELECT list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Aggregate {
    pub(super) function: Function,
    /// Its name in the answer.
    pub(super) name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Count,
    Sum,
    Min,
    Max,
    Avg,
}

impl Function {
    fn named(word: &Token<'_>) -> Option<Self> {
        let all = [
            ("COUNT", Self::Count),
            ("SUM", Self::Sum),
            ("MIN", Self::Min),
            ("MAX", Self::Max),
            ("AVG", Self::Avg),
        ];
        all.into_iter().find(|(name, _)| word.is_word(name)).map(|(_, function)| function)
    }
}

/// Aggregates that nobody computes here.
const OTHER_AGGREGATES: [&str; 5] = ["COUNTIF", "DCOUNT", "ARRAY_AGG", "MAKELIST", "MAKESET"];

/// Clauses that may follow WHERE, and words that begin another query.
const OTHER_CLAUSES: [&str; 7] = ["GROUP", "ORDER", "OFFSET", "LIMIT", "JOIN", "SELECT", "FROM"];

const GROUP_BY: &str = "GROUP BY";
const NOT_PLAIN: &str = "an aggregate in a query that is more than SELECT, FROM and WHERE";
const NOT_KNOWN: &str = "an aggregate other than COUNT, SUM, MIN, MAX and AVG";

/// Looks at a query.
pub(super) fn shape(sql: &str) -> Shape {
    let Some(tokens) = tokens(sql) else { return Shape::Plain };
    let outside = outside_subqueries(&tokens);
    let outer = |index: &usize| outside[*index];
    let calls =
        |index: usize| tokens.get(index + 1).is_some_and(|next| next.is("(")) && !is_member(&tokens, index);

    let mut words = (0..tokens.len()).filter(outer);
    if words.clone().any(|i| tokens[i].is_word("GROUP") && tokens.get(i + 1).is_some_and(|t| t.is_word("BY")))
    {
        return Shape::Refused(GROUP_BY);
    }
    if words.clone().any(|i| calls(i) && OTHER_AGGREGATES.iter().any(|name| tokens[i].is_word(name))) {
        return Shape::Refused(NOT_KNOWN);
    }
    if !words.any(|i| calls(i) && Function::named(&tokens[i]).is_some()) {
        return Shape::Plain;
    }
    match Parser::new(sql, &tokens).query() {
        Some(fold) => Shape::Fold(fold),
        None => Shape::Refused(NOT_PLAIN),
    }
}

/// For each token, whether it belongs to the outermost query.
fn outside_subqueries(tokens: &[Token<'_>]) -> Vec<bool> {
    let mut inside = vec![false];
    tokens
        .iter()
        .enumerate()
        .map(|(index, token)| {
            let within = inside.last().copied().unwrap_or(false);
            if token.is("(") {
                let begins = tokens.get(index + 1).is_some_and(|next| next.is_word("SELECT"));
                inside.push(within || begins);
            } else if token.is(")") && inside.len() > 1 {
                inside.pop();
            }
            !within
        })
        .collect()
}

/// Whether the word is a property (`c.count`) or a function of the user's (`udf.sum`).
fn is_member(tokens: &[Token<'_>], index: usize) -> bool {
    index.checked_sub(1).is_some_and(|before| tokens[before].is("."))
}

/// Reads `SELECT [VALUE] aggregate [, ...] FROM name [[AS] name] [WHERE ...]` and nothing else.
struct Parser<'a> {
    sql: &'a str,
    tokens: &'a [Token<'a>],
    next: usize,
}

impl<'a> Parser<'a> {
    fn new(sql: &'a str, tokens: &'a [Token<'a>]) -> Self {
        Self { sql, tokens, next: 0 }
    }

    fn query(mut self) -> Option<Fold> {
        self.word("SELECT")?;
        let value = self.word("VALUE").is_some();
        let mut aggregates = Vec::new();
        let mut arguments = Vec::new();
        loop {
            let (function, argument) = self.aggregate()?;
            let position = aggregates.len();
            let name = if value { String::new() } else { self.alias(position + 1)? };
            aggregates.push(Aggregate { function, name });
            arguments.push(format!("{argument} AS a{position}"));
            if value || self.sign(",").is_none() {
                break;
            }
        }
        let from = self.tokens.get(self.next)?.at.start;
        self.source()?;
        let end = self.filter()?;
        let projection = format!("SELECT {} {}", arguments.join(", "), &self.sql[from..end]);
        Some(Fold { projection, aggregates, value })
    }

    /// `COUNT(x)`, without another aggregate or a query in it.
    fn aggregate(&mut self) -> Option<(Function, &'a str)> {
        let function = Function::named(self.tokens.get(self.next)?)?;
        self.next += 1;
        self.sign("(")?;
        let begin = self.next;
        let mut depth = 0_u32;
        loop {
            let token = self.tokens.get(self.next)?;
            let calls = self.tokens.get(self.next + 1).is_some_and(|next| next.is("("));
            match token {
                _ if token.is(")") && depth == 0 => break,
                _ if ["(", "[", "{"].iter().any(|sign| token.is(sign)) => depth += 1,
                _ if [")", "]", "}"].iter().any(|sign| token.is(sign)) => depth = depth.checked_sub(1)?,
                // A second argument.
                _ if token.is(",") && depth == 0 => return None,
                _ if token.is_word("SELECT") => return None,
                _ if calls && !is_member(self.tokens, self.next) && Function::named(token).is_some() => {
                    return None;
                }
                _ => {}
            }
            self.next += 1;
        }
        let argument = match &self.tokens[begin..self.next] {
            [] => return None,
            [star] if star.is("*") => (function == Function::Count).then_some("1")?,
            [first, .., last] => &self.sql[first.at.start..last.at.end],
            [one] => one.text,
        };
        self.sign(")")?;
        Some((function, argument))
    }

    /// The name in `AS n`, in `n`, or that of the place; none when something else stands there.
    fn alias(&mut self, place: usize) -> Option<String> {
        let named = self.word("AS").is_some();
        match self.tokens.get(self.next) {
            Some(token) if token.kind == Kind::Word && !token.is_word("FROM") => {
                self.next += 1;
                Some(token.text.to_owned())
            }
            _ => (!named).then(|| format!("${place}")),
        }
    }

    /// `FROM c`, `FROM rawdata c`, `FROM rawdata AS c`.
    fn source(&mut self) -> Option<()> {
        self.word("FROM")?;
        self.name()?;
        let aliased = self.word("AS").is_some();
        let at_end = |token: Option<&Token<'_>>| token.is_none_or(|token| token.is_word("WHERE"));
        if aliased || !at_end(self.tokens.get(self.next)) {
            self.name()?;
        }
        at_end(self.tokens.get(self.next)).then_some(())
    }

    /// `WHERE ...` or nothing; where it ends.
    fn filter(&mut self) -> Option<usize> {
        if self.word("WHERE").is_none() {
            return (self.next == self.tokens.len()).then(|| self.tokens.last().map(|last| last.at.end))?;
        }
        let outside = outside_subqueries(self.tokens);
        let rest = self.next..self.tokens.len();
        let foreign =
            rest.clone().filter(|index| outside[*index] && !is_member(self.tokens, *index)).any(|index| {
                let token = &self.tokens[index];
                OTHER_CLAUSES.iter().any(|clause| token.is_word(clause))
                    || Function::named(token).is_some()
                        && self.tokens.get(index + 1).is_some_and(|next| next.is("("))
            });
        (!foreign && !rest.is_empty()).then(|| self.tokens.last().map(|last| last.at.end))?
    }

    fn name(&mut self) -> Option<()> {
        let token = self.tokens.get(self.next)?;
        let reserved = ["WHERE", "AS", "IN", "JOIN"].iter().any(|word| token.is_word(word));
        (token.kind == Kind::Word && !reserved).then(|| self.next += 1)
    }

    fn word(&mut self, keyword: &str) -> Option<()> {
        self.tokens.get(self.next)?.is_word(keyword).then(|| self.next += 1)
    }

    fn sign(&mut self, sign: &str) -> Option<()> {
        self.tokens.get(self.next)?.is(sign).then(|| self.next += 1)
    }
}

//! Labels of some kernels among others: a bound, or a list.

use super::Comparison;

/// Label of some kernels among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// Kernels from the oldest up to this one.
    Until(String),
    /// Kernels from this one to the newest.
    Since(String),
    /// List of the kernels.
    Each(Vec<String>),
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Until(last) => write!(f, "until {last}"),
            Self::Since(first) => write!(f, "since {first}"),
            Self::Each(all) => f.write_str(&all.join(", ")),
        }
    }
}

impl Comparison {
    /// Returns the label of some kernels among others: a bound if they are all kernels up to it or all from it on,
    /// otherwise a list.
    #[must_use]
    pub fn span(&self, members: &[usize], among: &[usize]) -> Span {
        let label = |place: &usize| self.subjects[*place].label.clone();
        let each = || Span::Each(members.iter().map(label).collect());
        let (Some(first), Some(last)) = (members.first(), members.last()) else {
            return each();
        };
        // A bound makes sense only for three kernels or more, and is ambiguous if a kernel outside has the same version
        // as the one at the bound.
        let version = |place: &usize| self.subjects[*place].kernel.version;
        let others: Vec<&usize> = among.iter().filter(|it| !members.contains(it)).collect();
        let known = among.iter().all(|it| version(it).is_some());
        if !known || among.len() < 3 || others.is_empty() {
            return each();
        }
        // A bound must not include a subject whose result is unknown.
        let all = || 0..self.subjects.len();
        let holds_for =
            |mut range: Box<dyn Iterator<Item = usize> + '_>| range.all(|it| members.contains(&it));
        let from_first = all().filter(|it| version(it) >= version(first));
        let up_to_last = all().filter(|it| version(it).is_some() && version(it) <= version(last));
        if others.iter().all(|it| version(it) < version(first)) && holds_for(Box::new(from_first)) {
            Span::Since(label(first))
        } else if members.len() > 1
            && others.iter().all(|it| version(it) > version(last))
            && holds_for(Box::new(up_to_last))
        {
            Span::Until(label(last))
        } else {
            each()
        }
    }
}

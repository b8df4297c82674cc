//! Whether a new text says what it should.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::node::{NodeKind, Position};
use super::patch::{Op, Patch, Splice};
use super::tree::{TOP, Tree};
use super::{Result, Value, YamlError};

/// Reads the text of `patch` again and compares it with the old values with `ops` done to them: values that no
/// operation names must be the same in style and order too.
///
/// Where nothing in a text refers to another place, a member of a block, or an item of a list there, is the same
/// whatever stands around it: the parser goes from the front to the back and knows no more at its beginning than
/// how far it is indented. Then only those that changed are read. Anything else is read as a whole.
///
/// # Errors
/// A text that says something else.
pub fn confirm(tree: &Tree, ops: &[Op], patch: &Patch) -> Result<()> {
    let mut expected = Expected::of(tree, ops);
    let windows = windows(tree, ops, patch);
    if windows.is_some_and(|windows| windows.into_iter().all(|(node, text)| expected.says_window(node, text))) {
        return Ok(());
    }
    expected.confirm_whole(patch)
}

/// The same, of the whole text.
#[cfg(test)]
pub(super) fn confirm_whole(tree: &Tree, ops: &[Op], patch: &Patch) -> Result<()> {
    Expected::of(tree, ops).confirm_whole(patch)
}

/// Lines of the text that can be read by themselves.
struct Part {
    /// The key of the member, or the item of a list, that they hold.
    node: usize,
    range: Range<usize>,
}

/// What the parts of the text that change hold, and their new text; none where that cannot be told.
fn windows<'p>(tree: &Tree, ops: &[Op], patch: &'p Patch) -> Option<Vec<(usize, &'p str)>> {
    if tree.has_aliases() {
        return None;
    }
    let mut parts = ops.iter().map(|op| Part::of(tree, op)).collect::<Option<Vec<_>>>()?;
    parts.sort_by_key(|part| (part.range.start, Reverse(part.range.end)));
    parts.dedup_by(|next, part| next.range.start < part.range.end);
    let (old, new) = (tree.text(), patch.text.as_str());
    let mut windows = Vec::with_capacity(parts.len());
    let (mut old_done, mut new_done) = (0, 0);
    let mut splices = patch.splices.iter().peekable();
    for Part { node, range } in parts {
        let (mut goes, mut comes) = (0, 0);
        let is_inside = |splice: &&Splice| range.start <= splice.range.start && splice.range.end <= range.end;
        while let Some(splice) = splices.next_if(is_inside) {
            (goes, comes) = (goes + splice.range.len(), comes + splice.text.len());
        }
        let start = new_done + range.start.checked_sub(old_done)?;
        let end = (start + range.len() + comes).checked_sub(goes)?;
        let ends_its_line = end == new.len() || new.get(..end)?.ends_with(['\r', '\n']);
        if !ends_its_line || old.get(old_done..range.start)? != new.get(new_done..start)? {
            return None;
        }
        windows.push((node, new.get(start..end)?));
        (old_done, new_done) = (range.end, end);
    }
    (old.get(old_done..)? == new.get(new_done..)?).then_some(windows)
}

impl Part {
    /// The smallest one in which an operation changes anything.
    fn of(tree: &Tree, op: &Op) -> Option<Part> {
        let mut node = match op {
            Op::Replace(node, _) => *node,
            Op::Insert { map, .. } => *map,
            Op::Append { list, .. } => tree.children(*list).last().unwrap_or(*list),
            Op::Remove(node) if tree.position(*node) == Position::Item => *node,
            Op::Remove(node) => tree.parent(*node),
        };
        let mut part = None;
        while node != TOP {
            if tree.is_flow(tree.parent(node)) {
                part = None;
            } else if part.is_none() {
                part = Part::at(tree, node);
            }
            node = tree.parent(node);
        }
        part
    }

    /// That of a node in a block, if it has its lines for itself.
    fn at(tree: &Tree, node: usize) -> Option<Part> {
        let node = tree.key_of(node).unwrap_or(node);
        let value = if tree.position(node) == Position::Key { tree.next(node) } else { node };
        let next = tree.next(value);
        let end = if next < tree.nodes() { line_of(tree, next)? } else { tree.text().len() };
        Some(Part { node, range: line_of(tree, node)?..end })
    }
}

/// Where the line begins of which a key, or the dash of an item, is the first.
fn line_of(tree: &Tree, node: usize) -> Option<usize> {
    let mut start = tree.start(node);
    if tree.position(node) == Position::Item {
        start = tree.text().get(..start)?.trim_end_matches([' ', '\t']).strip_suffix('-')?.len();
    }
    Some(start - tree.blanks_before(start)?.len())
}

/// The old tree with the operations done to it.
struct Expected<'a> {
    tree: &'a Tree,
    replaced: HashMap<usize, &'a Value>,
    inserted: HashMap<usize, Vec<(&'a str, &'a Value)>>,
    appended: HashMap<usize, Vec<&'a Value>>,
    removed: HashSet<usize>,
    /// For each anchored node of the old tree, the same node in the new one.
    twins: HashMap<usize, usize>,
}

impl<'a> Expected<'a> {
    fn of(tree: &'a Tree, ops: &'a [Op]) -> Self {
        let (replaced, inserted, appended) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut all = Self { tree, replaced, inserted, appended, removed: HashSet::new(), twins: HashMap::new() };
        for op in ops {
            match op {
                Op::Replace(node, value) => _ = all.replaced.insert(*node, value),
                Op::Insert { map, key, value } => all.inserted.entry(*map).or_default().push((key, value)),
                Op::Append { list, value } => all.appended.entry(*list).or_default().push(value),
                Op::Remove(node) => _ = all.removed.insert(*node),
            }
        }
        all
    }

    fn confirm_whole(&mut self, patch: &Patch) -> Result<()> {
        let unexpected = || YamlError::new("the edited file would not read back as intended");
        let new = Tree::parse(patch.text.clone()).map_err(|_| unexpected())?;
        if self.says(&new, TOP, TOP) { Ok(()) } else { Err(unexpected()) }
    }

    fn says_window(&mut self, node: usize, text: &str) -> bool {
        let Ok(new) = Tree::parse(text.to_owned()) else { return false };
        let tree = self.tree;
        if let Some((key, value)) = new.members(TOP).next() {
            let one = new.members(TOP).nth(1).is_none() && !new.is_flow(TOP);
            return one && self.says(&new, node, key) && self.says(&new, tree.next(node), value);
        }
        let list = tree.parent(node);
        let is_last = tree.next(node) == tree.next(list);
        let come = self.appended.get(&list).filter(|_| is_last).cloned().unwrap_or_default();
        let stays = (!self.removed.contains(&node)).then_some(node);
        // Of a part that goes nothing is left, perhaps but comments.
        let items: Vec<usize> = new.children(TOP).collect();
        (new.is_list(TOP) && !new.is_flow(TOP) || new.nodes() == 0 || new.is_null(TOP) && items.is_empty())
            && self.say_items(&new, stays.into_iter().collect(), &items, &come)
    }

    fn says(&mut self, new: &Tree, at: usize, new_at: usize) -> bool {
        let tree = self.tree;
        if let Some(value) = self.replaced.get(&at) {
            return value.is_said_by(new, new_at);
        }
        if tree.aliases_of(at).next().is_some() {
            self.twins.insert(at, new_at);
        }
        match (tree.kind(at), new.kind(new_at)) {
            (Some(NodeKind::Alias(target)), Some(NodeKind::Alias(new_target))) => {
                self.twins.get(&(target as usize)) == Some(&(new_target as usize))
            }
            // Null, or nothing at all, is an empty one if something is added.
            (_, Some(NodeKind::Mapping { .. })) if tree.is_mapping(at) || self.inserted.contains_key(&at) => {
                let stays = tree.members(at).any(|(key, _)| !self.removed.contains(&key));
                self.keeps_flow(new, at, new_at, stays) && self.says_members(new, at, new_at)
            }
            (_, Some(NodeKind::List { .. })) if tree.is_list(at) || self.appended.contains_key(&at) => {
                let come = self.appended.get(&at).cloned().unwrap_or_default();
                let stay: Vec<_> = tree.items(at).into_iter().filter(|item| !self.removed.contains(item)).collect();
                let items: Vec<_> = new.children(new_at).collect();
                self.keeps_flow(new, at, new_at, !stay.is_empty()) && self.say_items(new, stay, &items, &come)
            }
            (
                Some(NodeKind::Scalar { style, tagged }),
                Some(NodeKind::Scalar { style: new_style, tagged: new_tagged }),
            ) => (style, tagged) == (new_style, new_tagged) && tree.scalar(at) == new.scalar(new_at),
            (None, None) => true,
            _ => false,
        }
    }

    /// A collection stays in brackets, or without, if anything in it `stays`.
    fn keeps_flow(&self, new: &Tree, at: usize, new_at: usize, stays: bool) -> bool {
        !stays || self.tree.is_flow(at) == new.is_flow(new_at)
    }

    fn says_members(&mut self, new: &Tree, at: usize, new_at: usize) -> bool {
        let tree = self.tree;
        let mut come = self.inserted.get(&at).cloned().unwrap_or_default();
        let mut stay = tree.members(at).filter(|(key, _)| !self.removed.contains(key)).collect::<Vec<_>>().into_iter();
        for (key, value) in new.members(new_at) {
            let name = new.scalar(key);
            if let Some(index) = come.iter().position(|(new_name, _)| name == Some(new_name)) {
                let (_, wanted) = come.swap_remove(index);
                if !wanted.is_said_by(new, value) {
                    return false;
                }
            } else {
                let Some((old_key, old_value)) = stay.next() else { return false };
                if !self.says(new, old_key, key) || !self.says(new, old_value, value) {
                    return false;
                }
            }
        }
        come.is_empty() && stay.next().is_none()
    }

    fn say_items(&mut self, new: &Tree, stay: Vec<usize>, items: &[usize], come: &[&Value]) -> bool {
        let count = stay.len();
        count + come.len() == items.len()
            && stay.into_iter().zip(items).all(|(old, &item)| self.says(new, old, item))
            && come.iter().zip(&items[count..]).all(|(value, &item)| value.is_said_by(new, item))
    }
}

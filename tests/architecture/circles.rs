//! No circle of files: what a file needs can be read, and tested, without what needs the file. A module and those inside it count as one here.

use std::collections::{BTreeMap, BTreeSet};

/// Circles that still stand, by the number of their files, largest first. The list may only shrink.
const STANDING: &[usize] = &[17, 4, 3, 3, 3, 2, 2, 2, 2];

type Module = Vec<String>;
type Graph = BTreeMap<Module, BTreeSet<Module>>;

/// The paths that a `use` tree names, each from its beginning.
fn leaves(tree: &str) -> Vec<Module> {
    fn segments(path: &str) -> impl Iterator<Item = String> {
        let path = path.split(" as ").next().unwrap();
        path.split("::").map(|s| s.trim().to_owned()).filter(|s| !s.is_empty())
    }
    let Some(open) = tree.find('{') else { return vec![segments(tree).collect()] };
    let head: Module = segments(&tree[..open]).collect();
    let (mut found, mut depth, mut from) = (Vec::new(), 0, open + 1);
    let inside = &tree[..tree.rfind('}').unwrap()];
    for (at, c) in tree.char_indices().skip_while(|(at, _)| *at <= open) {
        match c {
            '{' => depth += 1,
            '}' if at < inside.len() => depth -= 1,
            ',' if depth == 0 => {
                found.extend(leaves(&tree[from..at]));
                from = at + 1;
            }
            _ => {}
        }
    }
    if from < inside.len() {
        found.extend(leaves(&inside[from..]));
    }
    found.into_iter().filter(|leaf| !leaf.is_empty()).map(|leaf| head.iter().cloned().chain(leaf).collect()).collect()
}

/// Every path below the crate that a module's code names.
fn named(module: &Module, code: &str) -> Vec<Module> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let before = &code[..at];
            // A part of another word, or of a path that was read from its beginning.
            if before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let rest = &code[at..];
            let line = &before[before.rfind('\n').map_or(0, |n| n + 1)..];
            let end = if line.trim_start().starts_with("use ") || line.trim_end().ends_with(" use") {
                rest.find(';')
            } else {
                rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
            };
            found.extend(leaves(&rest[..end.unwrap_or(rest.len())]).into_iter().map(|path| absolute(module, path)));
        }
    }
    found
}

/// A path that begins with `crate`, or with `super` once or more, as one from the crate's root.
fn absolute(module: &Module, path: Module) -> Module {
    let up = path.iter().take_while(|segment| *segment == "super").count();
    let above = if up == 0 { &[] } else { &module[..module.len().saturating_sub(up)] };
    above.iter().cloned().chain(path.into_iter().skip(up.max(1))).collect()
}

fn graph(sources: &[(Module, String)]) -> Graph {
    let modules: BTreeSet<&Module> = sources.iter().map(|(module, _)| module).collect();
    let target = |path: Module| (1..=path.len()).rev().map(|n| path[..n].to_vec()).find(|m| modules.contains(m));
    let edges = |module: &Module, code: &str| {
        let others = named(module, code).into_iter().filter_map(target);
        others.filter(|other| !other.starts_with(module) && !module.starts_with(other)).collect()
    };
    sources.iter().map(|(module, code)| (module.clone(), edges(module, code))).collect()
}

/// All that can be reached from a module.
fn reached(graph: &Graph, from: &Module) -> BTreeSet<Module> {
    let mut seen = BTreeSet::new();
    let mut next = vec![from];
    while let Some(module) = next.pop() {
        next.extend(graph[module].iter().filter(|other| seen.insert((*other).clone())));
    }
    seen
}

/// Sets of files that all reach each other, the largest first.
fn circles(graph: &Graph) -> Vec<BTreeSet<Module>> {
    let reach: BTreeMap<&Module, _> = graph.keys().map(|module| (module, reached(graph, module))).collect();
    let circle = |module: &Module| -> BTreeSet<Module> {
        reach[module].iter().filter(|other| reach[*other].contains(module)).cloned().collect()
    };
    let all: BTreeSet<_> = graph.keys().map(circle).filter(|circle| circle.len() > 1).collect();
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    all
}

#[test]
fn no_circle_of_files_is_new_or_larger() {
    let sources: Vec<_> = super::sources()
        .into_iter()
        .map(|(_, file, code)| {
            let module = file.with_extension("");
            (module.iter().map(|part| part.to_str().unwrap().to_owned()).collect(), code)
        })
        .collect();
    let found = circles(&graph(&sources));
    let sizes: Vec<_> = found.iter().map(BTreeSet::len).collect();
    let named: Vec<_> = found.iter().map(|c| c.iter().map(|m| m.join("::")).collect::<Vec<_>>()).collect();
    assert_eq!(sizes, STANDING, "a smaller number goes into the list, a larger one does not: {named:#?}");
}

/// The reader itself: a check that cannot fail would be worth nothing.
#[test]
fn a_circle_through_grouped_inline_and_relative_paths_is_seen() {
    let module = |path: &str| path.split('/').map(str::to_owned).collect::<Module>();
    let sources = [
        ("a", "use crate::{b::{self, B}, d::D};"),
        ("a/inside", "use crate::a::A;"),
        ("b", "fn f() { crate::c::g() }"),
        ("c", "pub(crate) use crate::a::inside::{C, E as F};\n"),
        ("d", "use crate::a_name_that_begins_alike::X;"),
        ("e/one", "use super::two::{X, Y};\nuse super::Z;"),
        ("e/two", "fn f() { super::super::a::g() }"),
    ];
    let sources: Vec<_> = sources.iter().map(|(path, code)| (module(path), (*code).to_owned())).collect();
    assert!(circles(&graph(&sources)).is_empty(), "a module and those inside it are no circle");
    let mut upward = sources.clone();
    upward[6].1 = "use super::one::X;".to_owned();
    assert_eq!(circles(&graph(&upward)), [BTreeSet::from([module("e/one"), module("e/two")])]);
    let mut closed = sources;
    closed[1].1 = "use crate::b::B;".to_owned();
    let found = circles(&graph(&closed));
    assert_eq!(found, [BTreeSet::from([module("a/inside"), module("b"), module("c")])]);
}

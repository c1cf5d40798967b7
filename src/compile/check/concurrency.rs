//! What can run at the same time: the heaviest set of services of which no two exclude each other.
//!
//! Services exclude each other when they share an exclusion group, so the services of one group are never in the set
//! together. Usually a service is in one group, and the answer is the heaviest of each group. Services in several groups
//! make it the problem of the independent set of greatest weight: searched exactly as long as that stays cheap, and
//! bounded from above otherwise, so that a budget is never judged too low.

use std::collections::BTreeMap;

/// Steps of the search after which the bound is taken instead; about ten milliseconds.
const STEPS: u32 = 200_000;

/// Something with a weight that is in exclusion groups.
#[derive(Clone, Debug)]
pub struct Load<'a> {
    pub weight: u64,
    pub groups: Vec<&'a str>,
}

/// The heaviest set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heaviest {
    /// The sum of its weights.
    pub total: u64,
    /// Its members as positions among the loads, in order.
    pub members: Vec<usize>,
    /// Whether the set is exact; otherwise the total is an upper bound, and the members make up the bound.
    pub exact: bool,
}

/// Returns the heaviest set of loads that share no group.
pub fn heaviest(loads: &[Load<'_>]) -> Heaviest {
    let mut result = Heaviest { exact: true, ..Heaviest::default() };
    for component in components(loads) {
        let part = heaviest_of_component(loads, component);
        result.total = result.total.saturating_add(part.total);
        result.members.extend(part.members);
        result.exact &= part.exact;
    }
    result.members.sort_unstable();
    result
}

/// Returns the loads with a weight in sets that have no group in common.
fn components(loads: &[Load<'_>]) -> Vec<Vec<usize>> {
    let mut parents: Vec<usize> = (0..loads.len()).collect();
    let mut first_of: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, load) in loads.iter().enumerate().filter(|(_, load)| load.weight > 0) {
        for group in &load.groups {
            let first = *first_of.entry(group).or_insert(at);
            let (one, other) = (root(&mut parents, first), root(&mut parents, at));
            parents[other] = one;
        }
    }
    let mut components: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, _) in loads.iter().enumerate().filter(|(_, load)| load.weight > 0) {
        components.entry(root(&mut parents, at)).or_default().push(at);
    }
    components.into_values().collect()
}

/// Finds the representative of a set and shortens the way to it.
fn root(parents: &mut [usize], mut at: usize) -> usize {
    while parents[at] != at {
        parents[at] = parents[parents[at]];
        at = parents[at];
    }
    at
}

fn heaviest_of_component(loads: &[Load<'_>], mut members: Vec<usize>) -> Heaviest {
    // Heaviest first, so that a good set is found early; ties by position keep the answer stable.
    members.sort_by_key(|&at| (std::cmp::Reverse(loads[at].weight), at));
    let Some(&top) = members.first() else { return Heaviest { exact: true, ..Heaviest::default() } };
    let shared = |group: &&str| members.iter().all(|&at| loads[at].groups.contains(group));
    if members.len() == 1 || loads[top].groups.iter().any(shared) {
        return Heaviest { total: loads[top].weight, members: vec![top], exact: true };
    }
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let groups = members
        .iter()
        .map(|&at| {
            let mut of_load = Vec::with_capacity(loads[at].groups.len());
            for group in &loads[at].groups {
                let next = numbers.len();
                of_load.push(*numbers.entry(group).or_insert(next));
            }
            of_load
        })
        .collect::<Vec<_>>();
    let weights = members.iter().map(|&at| loads[at].weight).collect::<Vec<_>>();
    let (bounds, cover) = bounds(&weights, &groups, numbers.len());
    let mut search = Search {
        weights: &weights,
        groups: &groups,
        bounds: &bounds,
        taken: vec![false; numbers.len()],
        chosen: Vec::new(),
        best: (0, Vec::new()),
        steps: 0,
    };
    search.run(0, 0);
    let exact = search.steps < STEPS;
    let (total, chosen) = if exact { search.best } else { (bounds[0], cover) };
    Heaviest { total, members: chosen.into_iter().map(|at| members[at]).collect(), exact }
}

/// Returns for each position the most that it and those behind it can weigh, and the members that weigh it at the start.
///
/// Each load is counted in its first group only, and of a group only the heaviest counts; every allowed set weighs at
/// most that.
fn bounds(weights: &[u64], groups: &[Vec<usize>], group_count: usize) -> (Vec<u64>, Vec<usize>) {
    let mut bounds = vec![0u64; weights.len() + 1];
    let mut heaviest: Vec<Option<usize>> = vec![None; group_count];
    for at in (0..weights.len()).rev() {
        bounds[at] = bounds[at + 1];
        if let Some(&group) = groups[at].first() {
            let before = heaviest[group].map_or(0, |other| weights[other]);
            // Weights fall, so the one in front is at least as heavy.
            bounds[at] = (bounds[at] - before).saturating_add(weights[at]);
            heaviest[group] = Some(at);
        }
    }
    (bounds, heaviest.into_iter().flatten().collect())
}

/// A search through the sets, which leaves out what cannot beat the best one found.
struct Search<'a> {
    weights: &'a [u64],
    groups: &'a [Vec<usize>],
    bounds: &'a [u64],
    taken: Vec<bool>,
    chosen: Vec<usize>,
    best: (u64, Vec<usize>),
    steps: u32,
}

impl Search<'_> {
    fn run(&mut self, at: usize, total: u64) {
        if total > self.best.0 {
            self.best = (total, self.chosen.clone());
        }
        let hopeless = total.saturating_add(self.bounds[at]) <= self.best.0;
        if at == self.weights.len() || hopeless || self.steps >= STEPS {
            return;
        }
        self.steps += 1;
        let groups = self.groups;
        if groups[at].iter().all(|&group| !self.taken[group]) {
            groups[at].iter().for_each(|&group| self.taken[group] = true);
            self.chosen.push(at);
            self.run(at + 1, total.saturating_add(self.weights[at]));
            self.chosen.pop();
            groups[at].iter().for_each(|&group| self.taken[group] = false);
        }
        self.run(at + 1, total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load<'a>(weight: u64, groups: &[&'a str]) -> Load<'a> {
        Load { weight, groups: groups.to_vec() }
    }

    #[test]
    fn of_one_group_the_heaviest_counts() {
        let found = heaviest(&[load(3, &["big"]), load(5, &["big"]), load(2, &[]), load(0, &[])]);
        assert_eq!(found, Heaviest { total: 7, members: vec![1, 2], exact: true });
    }

    #[test]
    fn a_service_in_two_groups_excludes_the_members_of_both() {
        // 6 excludes 4 and 5, which run together.
        let found = heaviest(&[load(6, &["a", "b"]), load(4, &["a"]), load(5, &["b"])]);
        assert_eq!(found, Heaviest { total: 9, members: vec![1, 2], exact: true });
        let found = heaviest(&[load(10, &["a", "b"]), load(4, &["a"]), load(5, &["b"])]);
        assert_eq!(found.total, 10);
    }

    #[test]
    fn the_search_agrees_with_trying_every_set() {
        let names = ["a", "b", "c", "d", "e"];
        let mut seed = 7u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..200 {
            let loads: Vec<Load<'_>> = (0..8)
                .map(|_| {
                    let groups = names.into_iter().filter(|_| random(3) == 0).collect();
                    Load { weight: random(20), groups }
                })
                .collect();
            let allowed = |set: u32| {
                let mut taken = Vec::new();
                (0..8).filter(|at| set & (1 << at) != 0).all(|at| {
                    loads[at].groups.iter().all(|group| {
                        let free = !taken.contains(group);
                        taken.push(*group);
                        free
                    })
                })
            };
            let weight = |set: u32| (0..8).filter(|at| set & (1 << at) != 0).map(|at| loads[at].weight).sum::<u64>();
            let best = (0..256).filter(|set| allowed(*set)).map(weight).max();
            assert_eq!(Some(heaviest(&loads).total), best, "{loads:?}");
        }
    }

    #[test]
    fn what_is_too_large_to_search_is_bounded_from_above_and_quick() {
        let names: Vec<String> = (0..600).map(|at| format!("g{at}")).collect();
        let loads: Vec<Load<'_>> = (0..1000)
            .map(|at| Load {
                weight: 100 + (at as u64 * 37) % 50,
                groups: vec![&names[at % 600], &names[(at * 7 + 1) % 600], &names[(at * 13 + 5) % 600]],
            })
            .collect();
        let found = heaviest(&loads);
        assert!(!found.exact);
        assert!(found.total >= 200 * 100);
    }
}

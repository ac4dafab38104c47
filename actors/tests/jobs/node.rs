//! A node: the production core, with a clock that is not quite right, and a way to the store that fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use actors::Gate;
use actors::scheduler::core::{Action, Core, Event, Launch, Moment, why};
use actors::scheduler::job::Job;
use config::lease::{Held, Leases as _};
use config::slots::{Answer, Micros, Slots as _, Wanted, lease_of};
use config::{Family, Name, Revision};
use futures_util::FutureExt as _;

use super::world::{MS, S, What, World};

/// One node.
pub(crate) struct Node {
    pub(crate) name: Name,
    pub(crate) up: bool,
    pub(crate) life: u32,
    pub(crate) core: Core,
    /// When this life began.
    begun: Micros,
    /// How far its idea of the store's time is off.
    skew: Micros,
    /// What it knows of how the store's clock was moved.
    moved: Micros,
    /// It stands still until then, and hears then what it is told meanwhile.
    pub(crate) stands_until: Micros,
    /// It does not reach the store until then.
    pub(crate) cut_until: Micros,
    pub(crate) said: Micros,
    wakes_at: Micros,
    knows: BTreeMap<Name, Revision>,
    nodes: Vec<Name>,
    link: Option<u64>,
}

/// All nodes, and the world.
pub(crate) struct Cluster {
    pub(crate) world: World,
    pub(crate) nodes: Vec<Node>,
    pub(crate) gates: BTreeMap<Name, Arc<Gate>>,
}

fn now<T>(answer: impl Future<Output = Result<T, config::StoreError>>) -> T {
    answer.now_or_never().expect("it is in memory").expect("it answers")
}

/// What a node hears if there is no answer.
fn silence(action: &Action, asked: Micros) -> Option<Event> {
    Some(match action {
        Action::Lease { bucket } => Event::Leased { bucket: *bucket, asked, held: Err(()) },
        Action::Renew(_) => Event::Renewed { asked, answers: Err(()) },
        Action::TakeOver { bucket, held, wanted } => {
            let wanted = wanted.iter().map(|w| (w.name.clone(), w.plan)).collect();
            Event::TakenOver { bucket: *bucket, fence: held.fence, wanted, states: Err(()) }
        }
        Action::Inspect { bucket, fence } => {
            Event::UnderWay { bucket: *bucket, fence: *fence, runs: Err(()) }
        }
        Action::List { bucket } => Event::Known { bucket: *bucket, names: Err(()) },
        Action::Claim { number, .. } => Event::Claimed { number: *number, answers: Err(()) },
        Action::End { number, .. } => Event::Written { number: *number, done: false },
        Action::Release(_) | Action::Forget { .. } | Action::Run(_) | Action::Cancel { .. } => return None,
    })
}

impl Node {
    pub(crate) fn new(name: Name) -> Self {
        let core = Core::new(name.clone(), String::new(), 1, String::new);
        Self {
            name,
            up: false,
            life: 0,
            core,
            begun: 0,
            skew: 0,
            moved: 0,
            stands_until: 0,
            cut_until: 0,
            said: i64::MIN,
            wakes_at: i64::MAX,
            knows: BTreeMap::new(),
            nodes: Vec::new(),
            link: None,
        }
    }

    pub(crate) fn owner(&self) -> String {
        format!("{}#{}", self.name, self.life)
    }
}

impl Cluster {
    /// A node starts anew.
    pub(crate) fn start(&mut self, at: usize) {
        let limit = self.world.weather.skew;
        let skew = self.world.span(2 * limit + 1) - limit;
        let node = &mut self.nodes[at];
        node.life += 1;
        let owner = node.owner();
        let mut count = 0;
        let cids = format!("{owner}-");
        let cid = move || {
            count += 1;
            format!("{cids}{count}")
        };
        node.core = Core::new(node.name.clone(), owner, 200, cid);
        (node.up, node.begun, node.skew, node.moved) = (true, self.world.now, skew, self.world.moved);
        (node.wakes_at, node.stands_until, node.cut_until) = (i64::MAX, 0, 0);
        node.knows.clear();
        node.nodes.clear();
        node.link = None;
        let life = node.life;
        self.world.note(format_args!("{} starts", self.nodes[at].owner()));
        self.world.later(0, at, life, What::Look);
    }

    /// Something happens to a node; if it stands still, it happens when it goes on.
    pub(crate) fn happens(&mut self, at: usize, life: u32, what: What) {
        let node = &mut self.nodes[at];
        if let What::Reach { action, asked, owner, answered } = what {
            return self.reach(at, life, action, asked, &owner, answered);
        }
        if node.life != life || !node.up {
            return;
        }
        let stands = node.stands_until - self.world.now;
        if stands > 0 {
            return self.world.later(stands, at, life, what);
        }
        match what {
            What::Wake if node.wakes_at > self.world.now => {}
            What::Wake => {
                node.wakes_at = i64::MAX;
                self.step(at, Event::Tick);
            }
            What::Hear(event) => self.step(at, event),
            What::End(run, well) => {
                let outcome =
                    if well { config::slots::Outcome::Done } else { config::slots::Outcome::Failed };
                self.step(at, Event::Ended { run, outcome, why: None, attempts: 1 });
            }
            What::Look => self.look(at),
            What::Reach { .. } | What::Script(_) => {}
        }
    }

    /// A node hears what the others say, and which jobs are wanted.
    fn look(&mut self, at: usize) {
        let life = self.nodes[at].life;
        let next = 400 * MS + self.world.span(200 * MS);
        self.world.later(next, at, life, What::Look);
        if self.nodes[at].cut_until > self.world.now {
            return;
        }
        self.nodes[at].said = self.world.now;
        self.nodes[at].moved = self.world.moved;
        let here = |node: &&Node| node.said > self.world.now - 5 * S;
        let nodes: Vec<Name> = self.nodes.iter().filter(here).map(|node| node.name.clone()).collect();
        let wanted = self.world.wanted();
        let jobs = wanted.definitions.values().filter(|job| job.id.family == Family::Job);
        let jobs: BTreeMap<Name, Revision> = jobs.map(|job| (job.id.name.clone(), job.changed_at)).collect();
        let look = now(self.world.slots.look());
        let node = &mut self.nodes[at];
        let changed = node.link.replace(look.link).is_some_and(|before| before != look.link);
        let gone: Vec<Name> = node.knows.keys().filter(|name| !jobs.contains_key(*name)).cloned().collect();
        let news = jobs.iter().filter(|(name, plan)| node.knows.get(*name) != Some(*plan));
        let put: Vec<Job> = news
            .map(|(name, plan)| Job {
                name: name.clone(),
                plan: *plan,
                made: self.world.checks.plans[&(name.clone(), *plan)].clone(),
                gate: self.gates.entry(name.clone()).or_default().clone(),
            })
            .collect();
        node.knows = jobs;
        let nodes_changed = node.nodes != nodes;
        if changed {
            self.step(at, Event::Changed);
        }
        let node = &mut self.nodes[at];
        if nodes_changed {
            node.nodes.clone_from(&nodes);
            self.step(at, Event::Nodes(nodes));
        }
        if !put.is_empty() || !gone.is_empty() {
            self.step(at, Event::Jobs { put, gone });
        }
    }

    fn moment(&self, at: usize) -> Moment {
        let node = &self.nodes[at];
        Moment { steady: self.world.now - node.begun, now: self.world.now + node.moved + node.skew }
    }

    pub(crate) fn step(&mut self, at: usize, event: Event) {
        let moment = self.moment(at);
        let actions = self.nodes[at].core.step(moment, event);
        for action in actions {
            self.perform(at, moment, action);
        }
        let idle = self.nodes[at].core.idle_for(moment);
        let wakes_at = self.world.now + idle.max(200);
        let node = &mut self.nodes[at];
        if wakes_at < node.wakes_at {
            node.wakes_at = wakes_at;
            let life = node.life;
            self.world.later(idle.max(200), at, life, What::Wake);
        }
    }

    fn perform(&mut self, at: usize, moment: Moment, action: Action) {
        let (life, owner) = (self.nodes[at].life, self.nodes[at].owner());
        match action {
            Action::Run(launch) => return self.run(at, &launch),
            Action::Cancel { run } => {
                let (outcome, why) = (config::slots::Outcome::Cancelled, None);
                let ended = Event::Ended { run, outcome, why, attempts: 1 };
                return self.world.later(MS, at, life, What::Hear(ended));
            }
            _ => {}
        }
        let asked = moment.steady;
        let silence = silence(&action, asked);
        let weather = self.world.weather;
        let mut way = 100 + self.world.span(MS);
        if self.world.chance(0.1) {
            way += self.world.span(weather.late);
        }
        let cut = self.nodes[at].cut_until > self.world.now;
        let mut answered = false;
        if cut || self.world.chance(weather.refused) {
            self.world.sums.refused += 1;
        } else {
            answered = !self.world.chance(weather.unanswered);
            if !answered {
                self.world.sums.unanswered += 1;
                if self.world.chance(0.3) {
                    way += self.world.span(8 * S); // it arrives when nobody expects it any more
                }
            }
            self.world.later(way, at, life, What::Reach { action, asked, owner, answered });
        }
        if let (false, Some(silence)) = (answered, silence) {
            let wait = 50 * MS + self.world.span(2 * S);
            self.world.later(wait, at, life, What::Hear(silence));
        }
    }

    /// What was asked for reaches the store.
    fn reach(&mut self, at: usize, life: u32, action: Action, asked: Micros, owner: &str, answered: bool) {
        let term = std::time::Duration::from_micros(actors::scheduler::core::TERM.unsigned_abs());
        let (slots, leases) = (self.world.slots.clone(), self.world.leases.clone());
        let event = match action {
            Action::Lease { bucket } => {
                let held = now(leases.lease(&lease_of(bucket), owner, term));
                self.world.sums.leased += u64::from(held.is_some());
                Event::Leased { bucket, asked, held: Ok(held) }
            }
            Action::Renew(held) => {
                let (buckets, held): (Vec<u16>, Vec<Held>) = held.into_iter().unzip();
                let answers = now(leases.renew(&held, term));
                let each = buckets.into_iter().zip(held).zip(answers);
                Event::Renewed {
                    asked,
                    answers: Ok(each.map(|((b, h), still)| (b, h.fence, still)).collect()),
                }
            }
            Action::Release(held) => {
                now(leases.release(&held));
                return;
            }
            Action::TakeOver { bucket, held, wanted } => {
                let states = now(slots.take_over(&held, &wanted));
                let wanted = wanted.into_iter().map(|Wanted { name, plan, .. }| (name, plan)).collect();
                Event::TakenOver { bucket, fence: held.fence, wanted, states: Ok(states) }
            }
            Action::Inspect { bucket, fence } => {
                let runs = now(slots.under_way(bucket));
                let alive = |owner: &str| {
                    let here = |node: &&Node| node.owner() == owner && node.said > self.world.now - 5 * S;
                    self.nodes.iter().any(|node| here(&node))
                };
                let runs = runs.into_iter().map(|(name, record)| {
                    let there = alive(&record.node);
                    (name, record, there)
                });
                Event::UnderWay { bucket, fence, runs: Ok(runs.collect()) }
            }
            Action::List { bucket } => Event::Known { bucket, names: Ok(now(slots.known(bucket))) },
            Action::Claim { number, claims } => {
                let names: Vec<Name> = claims.iter().map(|claim| claim.name.clone()).collect();
                let before = now(slots.states(&names));
                let answers = now(slots.claim(owner, &claims));
                let after = now(slots.states(&names));
                let wanted = self.world.wanted();
                let time = self.world.store_time();
                for (index, claim) in claims.iter().enumerate() {
                    let id = config::DefId::new(Family::Job, claim.name.clone());
                    let plan = wanted.get(&id).map(|job| job.changed_at);
                    self.world.note(format_args!(
                        "{owner} claims {} {} {:?}: {:?}",
                        claim.name, claim.slot, claim.record.outcome, answers[index]
                    ));
                    match (answers[index], before[index]) {
                        // Granted anew, and not only said again.
                        (Answer::Granted, Some(before)) if Some(before) != after[index] => {
                            self.world.checks.grants(claim, &before, plan, owner, time);
                            self.world.sums.granted += 1;
                            let gap = claim.record.why.as_deref() == Some(why::GAP);
                            self.world.sums.left_out += u64::from(gap);
                            self.world.sums.skipped +=
                                claim.record.slots * u64::from(claim.record.why.is_some());
                        }
                        (Answer::Granted, _) => self.world.sums.said_again += 1,
                        (Answer::Retired, _) => self.world.sums.retired += 1,
                        (Answer::Taken, _) => self.world.sums.taken += 1,
                        (Answer::Early, _) => self.world.sums.early += 1,
                        (Answer::Lost, _) => self.world.sums.lost += 1,
                    }
                }
                Event::Claimed { number, answers: Ok(answers) }
            }
            Action::End { number, endings } => {
                now(slots.end(&endings));
                Event::Written { number, done: true }
            }
            Action::Forget { bucket, names } => return now(slots.forget(bucket, &names)),
            Action::Run(_) | Action::Cancel { .. } => return,
        };
        if answered {
            let mut way = 100 + self.world.span(MS);
            if self.world.chance(0.1) {
                let late = self.world.weather.late;
                way += self.world.span(late);
            }
            self.world.later(way, at, life, What::Hear(event));
        }
    }

    fn run(&mut self, at: usize, launch: &Launch) {
        let (life, owner) = (self.nodes[at].life, self.nodes[at].owner());
        self.world.note(format_args!("{owner} runs {} {}", launch.job.name, launch.slot));
        self.world.checks.begins(launch, &owner);
        self.world.sums.runs += 1;
        if let Some(quiet) = self.world.quiet_since
            && self.world.now > quiet + 12 * S
            && launch.job.made.policy.overlap != actors::scheduler::job::Overlap::QueueOne
            && self.world.store_time() > launch.due + S
        {
            let late = self.world.store_time() - launch.due;
            let what = format!("{}: {} us late though all is well", launch.job.name, late);
            self.world.checks.broken.push(what);
        }
        let limit = [20 * MS, 500 * MS, 3 * S][self.world.dice.usize(..3)];
        let takes = self.world.span(limit);
        let well = self.world.chance(0.8);
        self.world.later(takes, at, life, What::End(launch.run, well));
    }
}

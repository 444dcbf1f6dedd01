//! What is checked of a run, and when: after each turn of the writer, after each tick, after each start, at the end.

use countersign_engine::line::Line;
use countersign_engine::store::Drawer;
use countersign_engine::testing::learn;
use countersign_engine::{Engine, Kept};
use countersign_ledger::Checkpoint;
use countersign_ledger::content::commitments;
use countersign_ledger::source::Source;
use countersign_ledger::verify::{Layout, Options, Outcome, verify};

use super::{Run, chain};
use crate::actors::USUAL;
use crate::bundles::Variant;
use crate::oracle::{Violation, must};
use crate::scene::{Execution, Released};

impl Run {
    /// Reads what is durable by now, and compares the state with what follows from it.
    pub(super) fn read_on(&mut self) -> Result<(), Violation> {
        self.disk.look(true);
        let checked = self.read_on_undisturbed();
        self.disk.look(false);
        checked
    }

    fn read_on_undisturbed(&mut self) -> Result<(), Violation> {
        let Some(life) = &self.life else { return Ok(()) };
        if self.disk.is_off() {
            return Ok(());
        }
        let from = self.oracle.size();
        let lines = life.store.read(from, 100_000);
        let lines = lines.map_err(|error| Violation::new("what is written can be read", chain(&error)))?;
        let catalogue = |bundle: &_| Variant::of(bundle).map(Variant::catalogue);
        let decided = lines.iter().any(|line| line.decides);
        for line in lines {
            learn(&mut self.book, &line, &catalogue).map_err(|why| Violation::new("state is a fold", why))?;
            self.oracle.take(line.index, line.bytes)?;
        }
        for index in from..self.oracle.size() {
            let Some(line) = self.oracle.line(index) else { continue };
            let kept = kept_of(&life.engine, line)?;
            let text = kept.iter().find(|kept| kept.at == "/data/text");
            let text = text.and_then(|kept| String::from_utf8(kept.bytes.clone()).ok());
            if let Some(text) = text.filter(|_| line.kind == "action.allowed") {
                self.texts.entry(text).or_default().push(index);
            }
        }
        let snapshot = life.engine.snapshot();
        must(snapshot.index <= self.oracle.size(), "nobody sees what is not durable", || {
            format!("the state has {} lines, the store {}", snapshot.index, self.oracle.size())
        })?;
        if decided && snapshot.index == self.oracle.size() {
            must(self.book == snapshot.book, "state is a fold", || {
                "the book is not what follows from the lines".into()
            })?;
        }
        Ok(())
    }

    /// Once the queue is empty, whatever was in it is durable.
    pub(super) fn settle_reads(&mut self) {
        let life = self.life();
        let quiet = life.stepper.queued() == 0 && !life.stepper.is_broken();
        if quiet && !self.disk.is_off() {
            let mut world = self.world.borrow_mut();
            world.released.iter_mut().for_each(|read| read.settled = true);
            world.outcomes.iter_mut().for_each(|told| told.settled = true);
        }
    }

    /// After a start: nothing is lost that was committed, nothing waits that nobody waits for.
    pub(super) fn after_start(&mut self) -> Result<(), Violation> {
        let size = self.oracle.size();
        let life = self.life.as_ref().expect("it has just begun");
        let stored = life.store.read(0, usize::try_from(size).expect("it is small"));
        let stored = stored.map_err(|error| Violation::new("what is written can be read", chain(&error)))?;
        let same = stored.len() as u64 == size
            && stored.iter().zip(self.oracle.lines()).all(|(stored, line)| stored.bytes == line.bytes);
        must(same, "what is committed is kept", || format!("{} of {size} lines are left", stored.len()))?;
        must(self.book == life.engine.snapshot().book, "state is a fold", || {
            "after a start the book is not what follows from the lines".into()
        })?;
        let left = self.oracle.waiting().next();
        must(left.is_none(), "what waited is withdrawn", || format!("request {left:?} still waits"))?;
        let open = self.oracle.sessions().next();
        must(open.is_none(), "sessions end with the gateway", || format!("{open:?} is open"))?;
        for (size, note) in &self.world.borrow().checkpoints {
            let stored = life.store.get(Drawer::Checkpoints, &size.to_be_bytes());
            let stored = stored.ok().flatten();
            must(stored.as_deref() == Some(note.as_bytes()), "persisted before published", || {
                format!("the checkpoint over {size} lines is not in the store")
            })?;
        }
        let mut world = self.world.borrow_mut();
        let before = world.released.len();
        let certain = |read: &Released| {
            read.settled || !read.alongside || (read.text != USUAL && self.texts.contains_key(&read.text))
        };
        world.released.retain(certain);
        world.outcomes.retain(|told| told.settled || self.oracle.is_completed(told.line));
        self.summary.reads_lost += (before - world.released.len()) as u64;
        self.checked.released = self.checked.released.min(world.released.len());
        drop(world);
        self.check_world()
    }

    /// What the world was told and saw, against what the ledger says.
    pub(super) fn check_world(&mut self) -> Result<(), Violation> {
        self.disk.look(true);
        let checked = self.check_world_undisturbed();
        self.disk.look(false);
        checked
    }

    fn check_world_undisturbed(&mut self) -> Result<(), Violation> {
        let Some(life) = &self.life else { return Ok(()) };
        let mut world = self.world.borrow_mut();
        if let Some(violation) = world.violations.pop() {
            return Err(violation);
        }
        for said in &world.promises[self.checked.promises..] {
            must(self.oracle.says(said), "an answer is in the ledger", || format!("{said:?}"))?;
        }
        self.checked.promises = world.promises.len();
        for ran in &world.executions[self.checked.executions..] {
            let told = ran.line.or_else(|| self.line_of(&ran.text));
            let told = told.and_then(|index| self.oracle.line(index));
            let told = told.filter(|line| line.kind == "action.allowed" && line.session == Some(ran.session));
            must(told.is_some(), "no effect without a record", || format!("`{}` ran", ran.text))?;
            match ran.request {
                None => must(self.texts.contains_key(&ran.text), "no effect without a record", || {
                    format!("`{}` ran; its line tells of another", ran.text)
                })?,
                Some(request) => {
                    let asked = self.oracle.asked_at(request).unwrap_or(u64::MAX);
                    let shown = life.engine.kept(asked).into_iter().find(|kept| kept.at == "/data/content");
                    let before = world.executions.iter().take_while(|one| !std::ptr::eq(*one, ran));
                    let place = before.filter(|one| one.request == Some(request)).count();
                    let shown = shown.and_then(|kept| shown_in(&kept.bytes, place));
                    let (text, relation) = shown.unwrap_or_default();
                    let of = |text: &str| text.split(' ').next().map(str::to_owned);
                    let envelope = self.oracle.envelope(request);
                    // Within bounds any text runs that does the same to the same relation.
                    let same = text == ran.text || (envelope.is_some() && of(&text) == of(&ran.text));
                    if let Some((rows, total)) = envelope {
                        let all = world.executions.iter().filter(|one| one.request == Some(request));
                        let sum: u64 = all.map(|one| one.rows).sum();
                        must(ran.rows <= rows && sum <= total, "rows stay in their bounds", || {
                            format!(
                                "`{}` changed {} rows of {rows}, {sum} of {total} in all",
                                ran.text, ran.rows
                            )
                        })?;
                    }
                    must(same && relation == ran.relation, "what ran was approved", || {
                        format!("`{}` on {} ran; approved was `{text}` on {relation}", ran.text, ran.relation)
                    })?;
                    let times = world.executions.iter().filter(|one| one.request == Some(request)).count();
                    must(times <= self.oracle.used(request), "a yes is used up", || {
                        format!("request {request} ran {times} times, used {}", self.oracle.used(request))
                    })?;
                }
            }
            let same = |one: &&Execution| one.text == ran.text && one.request.is_none();
            let times = world.executions.iter().filter(same).count();
            must(times == 1 || ran.request.is_some(), "what is recorded runs once", || ran.text.clone())?;
        }
        self.checked.executions = world.executions.len();
        for read in &world.released[self.checked.released..] {
            must(
                read.alongside || self.texts.contains_key(&read.text),
                "no answer without a record",
                || format!("`{}` was answered", read.text),
            )?;
        }
        self.checked.released = world.released.len();
        if self.disk.is_off() {
            return Ok(());
        }
        let Some(note) = life.engine.checkpoint().filter(|note| self.checked.checkpoint != *note) else {
            return Ok(());
        };
        self.checked.checkpoint.clone_from(&note);
        let opened = Checkpoint::open(note.as_bytes(), std::slice::from_ref(&life.vkey));
        let opened = opened.map_err(|error| Violation::new("checkpoints are signed", error.to_string()))?;
        let root = self.oracle.root(opened.size);
        must(root == Some(opened.root), "checkpoints are of these lines", || {
            format!("the checkpoint over {} lines has another root", opened.size)
        })?;
        let known = world.checkpoints.entry(opened.size).or_insert_with(|| note.clone());
        must(*known == note, "one checkpoint of one size", || format!("two over {} lines", opened.size))
    }

    /// The line that allowed the statement with this text.
    fn line_of(&self, text: &str) -> Option<u64> {
        self.texts.get(text)?.first().copied()
    }

    /// Whatever stands on nothing any more is cut, and what is over is written down.
    pub(super) fn check_ends(&self) -> Result<(), Violation> {
        self.check_cuts()?;
        let Some(life) = &self.life else { return Ok(()) };
        if life.stepper.is_broken() || self.disk.is_off() {
            return Ok(());
        }
        let now = life.engine.now().max(life.engine.snapshot().at);
        let overdue = self.oracle.overdue(now).next();
        must(overdue.is_none(), "an end is an end", || format!("grant {overdue:?} is over, unrecorded"))
    }

    /// Whatever stands on nothing any more is cut.
    pub(super) fn check_cuts(&self) -> Result<(), Violation> {
        let Some(life) = &self.life else { return Ok(()) };
        let snapshot = life.engine.snapshot();
        let now = life.engine.now().max(snapshot.at);
        // What is durable although the store said otherwise is learnt when the store works again.
        if snapshot.index < self.oracle.size() {
            return Ok(());
        }
        for session in life.scene.sessions.borrow().iter() {
            let held = self.oracle.holds(session.principal().as_str(), session.role().as_str(), now);
            must(held || session.ending().is_some(), "an end is an end", || {
                format!("session {} of {} goes on", session.id(), session.principal())
            })?;
        }
        Ok(())
    }

    /// Everything that ran is recorded, everything that was answered as well.
    pub(super) fn check_complete(&self) -> Result<(), Violation> {
        let world = self.world.borrow();
        let usual = world.released.iter().filter(|read| read.text == USUAL).count();
        let lines = self.texts.get(USUAL).map_or(0, Vec::len);
        must(usual <= lines, "recorded is executed", || format!("{usual} reads as usual, {lines} in lines"))?;
        for read in &world.released {
            must(self.texts.contains_key(&read.text), "recorded is executed", || {
                format!("`{}` was answered and is in no line", read.text)
            })?;
        }
        for told in &world.outcomes {
            must(self.oracle.is_completed(told.line), "recorded is executed", || {
                format!("how line {} ended was told and is in no line", told.line)
            })?;
        }
        Ok(())
    }

    /// The auditor's own program finds nothing.
    pub(super) fn prove(&self) -> Result<(), Violation> {
        let Some(life) = &self.life else { return Ok(()) };
        let world = self.world.borrow();
        let retained = world.checkpoints.values().next().map(String::as_bytes);
        let keys = std::slice::from_ref(&life.vkey);
        let report = verify(&Served(&life.engine), &Options { keys, retained, layout: Layout::Log });
        let proved = matches!(report.outcome(), Outcome::Proved);
        must(proved, "the ledger proves itself", || format!("{:?}", report.findings))
    }
}

/// What is kept beside a line: all that it commits to.
fn kept_of(engine: &Engine, line: &Line) -> Result<Vec<Kept>, Violation> {
    let value = serde_json::from_slice(&line.bytes).unwrap_or_default();
    let committed = commitments(&value);
    if committed.is_empty() {
        return Ok(Vec::new());
    }
    let kept = engine.kept(line.index);
    for (at, commitment) in committed {
        let fits = kept.iter().any(|kept| kept.at == at && kept.commitment().0 == commitment.0.0);
        must(fits, "content is kept with its line", || format!("line {}, {at}: {}", line.index, line.kind))?;
    }
    Ok(kept)
}

/// The tiles as a client would fetch them.
struct Served<'a>(&'a Engine);

impl Source for Served<'_> {
    fn read(&self, path: &str) -> std::io::Result<Option<Vec<u8>>> {
        Ok(match path {
            "checkpoint" => self.0.checkpoint().map(String::into_bytes),
            path => self.0.tile(path),
        })
    }
}

/// The text and the relation that an approver was shown: of a script those of the step at this place.
fn shown_in(content: &[u8], place: usize) -> Option<(String, String)> {
    let content: serde_json::Value = serde_json::from_slice(content).ok()?;
    let of = match content.get("steps") {
        Some(steps) => steps.get(place)?,
        None => &content,
    };
    let action: serde_json::Value = serde_json::from_str(of.get("action")?.as_str()?).ok()?;
    let relation = action.get("relations")?.get(0)?.get("version")?.as_str()?;
    Some((action.get("text")?.as_str()?.to_owned(), relation.to_owned()))
}

//! Opening a log: read everything, compare it with the mark, and only then go on from it.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use super::super::error::{Error, Kind, Subject, Verb};
use super::super::hard_state::HardState;
use super::super::high_water::{HighWater, Mark};
use super::engine::{Batch, LogEngine};
use super::live::{Held, Live};
use super::reader::Reader;
use super::writer::{Expected, Writer};
use super::{LostTail, Options, RaftLog, Recovered, Shared};

impl RaftLog {
    /// Opens the log in `dir` with its mark; both must exist since the first start of the folder.
    /// Reads every entry, so it blocks for as long as that takes.
    ///
    /// An error means that nothing can be used. Damage that a caller may be able to make good is
    /// told in [`Recovered`], and the log refuses changes until it has been.
    pub(crate) fn open(
        dir: &Path,
        high_water: &Path,
        options: Options,
    ) -> Result<(RaftLog, Recovered), Error> {
        #[cfg(test)]
        let (woken, take_over) = options.by_hand.map(|h| (h.woken, h.take_over)).unzip();
        #[cfg(test)]
        let interval = woken.is_none().then_some(options.mark_interval);
        #[cfg(not(test))]
        let interval = Some(options.mark_interval);
        let (high_water, Mark { state: mark, slot_spoiled }) =
            HighWater::open(high_water, interval)?;
        if !dir.is_dir() {
            return Err(Error::damaged(Subject::RaftLog, dir, "the folder is missing"));
        }
        let engine = Arc::new(LogEngine::open(dir, options.file_bytes)?);
        let state = engine.hard_state()?.unwrap_or_default();
        let reader = Reader::start(engine.clone())?;
        let recovered = Recovered {
            damage: reader.verify(state.first..state.next)?,
            lost_tail: lost_tail(dir, &state, &mark)?,
            mark_slot_spoiled: slot_spoiled,
        };
        let mut live = Live::new(&state);
        live.held = held(&recovered);
        if recovered.lost_tail.is_some() {
            // The mark is newer: its vote is the one that was promised to others.
            live.vote.clone_from(&mark.vote);
        }
        let shared = Arc::new(Shared {
            live: Mutex::new(live),
            work: Condvar::new(),
            room: Condvar::new(),
            #[cfg(test)]
            woken,
        });
        let mut writer = Writer {
            shared: shared.clone(),
            engine,
            high_water,
            hint: state.committed.clone(),
            state,
            sequence_min: mark.sequence,
            tail_bytes_max: options.tail_bytes_max,
            on_sync: options.on_sync,
            batch: Batch::default(),
            expected: Expected { operations: 0, until: Instant::now() },
        };
        if recovered.damage.is_none() && recovered.lost_tail.is_none() {
            writer.first_sync(dir)?;
        }
        let reader = Mutex::new(Some(Arc::new(reader)));
        #[cfg(test)]
        if let Some(take_over) = take_over {
            take_over(super::by_hand::ByHand::new(writer));
            let dir = dir.to_path_buf();
            return Ok((RaftLog { shared, reader, writer: Mutex::default(), dir }, recovered));
        }
        let thread = std::thread::Builder::new()
            .name("raft-log".into())
            .spawn(move || writer.run())
            .map_err(|e| Error::io(Subject::RaftLog, Verb::Open, dir, &e))?;
        let writer = Mutex::new(Some(thread));
        Ok((RaftLog { shared, reader, writer, dir: dir.to_path_buf() }, recovered))
    }
}

impl Writer {
    /// What was read may not be durable yet: a killed process leaves it to the operating system,
    /// and from here on others are told that it is there. The engine syncs only what it writes, and
    /// one batch more makes all before it durable.
    fn first_sync(&mut self, dir: &Path) -> Result<(), Error> {
        let failed = |e| Error::io(Subject::RaftLog, Verb::Sync, dir, &e);
        self.state.sequence += 1;
        self.batch.hard_state(&self.state).map_err(failed)?;
        self.engine.write(&mut self.batch, true).map_err(|failure| failed(failure.cause))?;
        self.high_water.record(&self.state).map_err(failed)
    }
}

/// Whether the log is behind its mark. Being ahead is what a power cut leaves.
fn lost_tail(dir: &Path, state: &HardState, mark: &HardState) -> Result<Option<LostTail>, Error> {
    if state.sequence == mark.sequence && state != mark {
        let detail = "its newest batch is not the one that the high-water mark saw";
        return Err(Error::new(Kind::Damaged, Subject::RaftLog, Verb::Read, dir, detail));
    }
    let behind = mark.sequence.saturating_sub(state.sequence);
    let lost = LostTail { mark_next: mark.next, next: state.next, batches: behind };
    Ok((behind > 0).then_some(lost))
}

fn held(recovered: &Recovered) -> Option<Held> {
    let damage_end = recovered.damage.as_ref().map_or(0, |damage| damage.last.saturating_add(1));
    let mark_end = recovered.lost_tail.as_ref().map_or(0, |lost| lost.mark_next);
    let reason = match (&recovered.damage, &recovered.lost_tail) {
        (Some(damage), _) => {
            format!("entry {} of the raft log is damaged: {}", damage.first, damage.detail)
        }
        (None, Some(lost)) => {
            format!("the raft log lost its newest {} batches", lost.batches)
        }
        (None, None) => return None,
    };
    let drop_rest = recovered.lost_tail.is_some();
    Some(Held { reason, first_min: damage_end.max(mark_end), drop_rest })
}

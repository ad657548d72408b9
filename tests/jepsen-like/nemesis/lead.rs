//! The lead is handed over, as an operator asks for it.

use std::time::Duration;

use super::{Nemesis, Struck, Trouble};
use crate::replica::http;
use crate::tools;
use crate::world::World;

const LIMIT: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Transfer {
    from: usize,
    said: String,
}

impl Nemesis for Transfer {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        self.from = world.await_leader(LIMIT).ok_or(Trouble::Nobody)?;
        let answer =
            http::ask(world.place.web(self.from), "PUT", "/api/v1/admin/leader/transfer", LIMIT);
        self.said = match answer {
            Ok(answer) => format!("{} {}", answer.status, answer.text().trim()),
            Err(err) => err,
        };
        Ok(Struck::on(vec![self.from]))
    }

    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        let to = tools::eventually(LIMIT, || world.leader().filter(|leader| *leader != self.from));
        match to {
            Some(to) => Ok(format!("{} leads after {}", world.name(to), world.name(self.from))),
            None => Err(format!("{} still leads: {}", world.name(self.from), self.said)),
        }
    }

    fn heal(&mut self, _world: &mut World) -> Result<(), String> {
        Ok(())
    }
}

//! One agent for several tests.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Result, ensure};

use super::{Agent, Env, Launch};

/// An agent that is started for the first test that wants one.
pub(crate) struct SharedAgent {
    dir: PathBuf,
    agent: OnceCell<Rc<Agent>>,
}

impl SharedAgent {
    /// Will live in `dir`.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, agent: OnceCell::new() }
    }

    /// The running agent, without policies.
    pub(super) fn get(&self, env: &Env) -> Result<Rc<Agent>> {
        if let Some(agent) = self.agent.get() {
            ensure!(agent.is_running()?, "the shared agent has ended:\n{}", agent.log());
            // Those of the test before.
            agent.delete_all_policies()?;
            return Ok(Rc::clone(agent));
        }
        let agent = Rc::new(Launch::in_directory(env, self.dir.clone())?.showing_all().start()?);
        Ok(Rc::clone(self.agent.get_or_init(|| agent)))
    }

    /// Ends it in an orderly way.
    pub(crate) fn stop(&self) -> Result<()> {
        self.agent.get().map_or(Ok(()), |agent| agent.stop())
    }
}

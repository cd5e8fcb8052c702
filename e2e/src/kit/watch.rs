//! An agent with a subscriber: what most tests begin with.

use std::ffi::OsStr;
use std::process::Command;
use std::rc::Rc;

use anyhow::Result;

use super::process::{Ended, run};
use super::{Agent, Env, Events, Launch, Life};

/// A running agent and all events since the subscription.
pub struct Watch<'env> {
    env: &'env Env,
    /// The agent.
    pub agent: Rc<Agent>,
    /// Its events.
    pub events: Events,
    shared: bool,
}

impl<'env> Watch<'env> {
    /// Watches with an agent that shows all it can about processes: the suite's own one if its tests share one.
    pub fn start(env: &'env Env) -> Result<Self> {
        let Some(shared) = env.shared() else { return Self::launch(env, &Launch::new(env)?.showing_all()) };
        let agent = shared.get(env)?;
        let events = agent.events()?;
        Ok(Self { env, agent, events, shared: true })
    }

    /// Starts this agent.
    pub fn launch(env: &'env Env, launch: &Launch<'_>) -> Result<Self> {
        let agent = Rc::new(launch.start()?);
        let events = agent.events()?;
        Ok(Self { env, agent, events, shared: false })
    }

    /// Lets the actor do something, and waits until its whole life has been told.
    pub fn act<S: AsRef<OsStr>>(&self, verbs: impl IntoIterator<Item = S>) -> Result<(Ended, Life)> {
        self.run(&mut self.env.actor(verbs)?)
    }

    /// Runs a command, and waits until its whole life has been told.
    pub fn run(&self, command: &mut Command) -> Result<(Ended, Life)> {
        let ended = run(command)?;
        let life = self.events.life_of(ended.pid)?;
        Ok((ended, life))
    }

    /// Waits until everything that has happened so far has been told.
    pub fn catch_up(&self) -> Result<()> {
        self.act(["exit", "0"]).map(drop)
    }

    /// Checks that the ledger adds up without a loss, and ends the agent if it is not shared.
    pub fn finish(self) -> Result<()> {
        self.agent.settled_ledger()?.check_lossless()?;
        self.end()
    }

    /// As [`finish`](Self::finish), after losses that were meant.
    pub fn finish_with_losses(self) -> Result<()> {
        self.agent.settled_ledger()?;
        self.end()
    }

    fn end(self) -> Result<()> {
        drop(self.events);
        if self.shared { Ok(()) } else { self.agent.stop() }
    }
}

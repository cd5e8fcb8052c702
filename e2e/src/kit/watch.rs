//! An agent with a subscriber: what most tests begin with.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::Result;

use super::agent::Stopped;
use super::process::{Ended, run};
use super::{Agent, Env, Events, Launch, Life};

/// A running agent and all events since its start.
pub struct Watch<'env> {
    env: &'env Env,
    /// The agent.
    pub agent: Agent<'env>,
    /// Its events.
    pub events: Events,
}

impl<'env> Watch<'env> {
    /// Starts an agent that shows all it can about processes.
    pub fn start(env: &'env Env) -> Result<Self> {
        Self::launch(env, &Launch::new(env)?.arg("--enable-process-cred").arg("--enable-process-ns"))
    }

    /// Starts this agent.
    pub fn launch(env: &'env Env, launch: &Launch<'env>) -> Result<Self> {
        let agent = launch.start()?;
        let events = agent.events()?;
        Ok(Self { env, agent, events })
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

    /// Ends the agent after its ledger was found to add up without a loss.
    pub fn finish(self) -> Result<Stopped> {
        let ledger = self.agent.settled_ledger()?;
        ledger.check_lossless()?;
        drop(self.events);
        self.agent.stop()
    }
}

//! Host: a thread in a network namespace of its own, which does jobs for other threads.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use rtnetlink::{Handle, MulticastGroup};
use tokio::runtime::{Builder, Runtime};

use super::links::turn;
use crate::error::{Error, reason};
use crate::lab::netlink::{self, News, answer};
use crate::lab::{RetainedPrivileges, drop_privileges, no_network_namespace};

/// Maximum time for a host to finish a job: longer than all bounds within jobs. A bound on failure, not a pace.
const JOB_TIMEOUT: Duration = Duration::from_secs(60);

type Job = Box<dyn FnOnce(&Runtime) + Send>;

/// Thread in a network namespace of its own.
#[derive(Debug)]
pub(crate) struct LabHost {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    pub(super) namespace: File,
    /// True once a job has exceeded [`JOB_TIMEOUT`].
    is_stuck: AtomicBool,
}

impl LabHost {
    /// Starts a host whose only interface is loopback, which is up: the kernel sends errors to itself over loopback.
    pub(super) fn start(name: &str) -> Result<Self, Error> {
        let (jobs, todo) = channel::<Job>();
        let (reply, replies) = channel();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&todo, &reply))
            .map_err(|error| Error::start("start a host", &error))?;
        let namespace = replies.recv_timeout(JOB_TIMEOUT).map_err(|_| ended())??;
        let host = Self {
            jobs: Some(jobs),
            thread: Some(thread),
            namespace,
            is_stuck: AtomicBool::new(false),
        };
        turn(&host, "lo", true)?;
        Ok(host)
    }

    /// Runs a job in the host's namespace and waits for the result. Fails if the thread has ended or after
    /// [`JOB_TIMEOUT`].
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Runtime) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, replies) = channel();
        let job = move |runtime: &Runtime| {
            let _ = reply.send(job(runtime));
        };
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send(Box::new(job)).map_err(|_| ended())?;
        replies.recv_timeout(JOB_TIMEOUT).map_err(|error| {
            if error == RecvTimeoutError::Disconnected {
                return ended();
            }
            // Relaxed: the flag guards no other data.
            self.is_stuck.store(true, Ordering::Relaxed);
            let late = format!("it did not answer within {} s", JOB_TIMEOUT.as_secs());
            Error::lab("use a host", &late)
        })
    }

    /// Runs a job with a netlink socket of the host's namespace.
    pub(super) fn netlink<T, F>(
        &self,
        action: &str,
        job: impl FnOnce(Handle) -> F + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, rtnetlink::Error>>,
    {
        self.netlink_with_news(action, &[], |handle, _| job(handle))
    }

    /// Like [`netlink`](Self::netlink), with a netlink socket that is subscribed to changes in the namespace.
    pub(super) fn netlink_with_news<T, F>(
        &self,
        action: &str,
        groups: &'static [MulticastGroup],
        job: impl FnOnce(Handle, News) -> F + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, rtnetlink::Error>>,
    {
        let done = self.run(move |runtime| {
            runtime.block_on(async {
                let (connection, handle, news) =
                    netlink::open(groups).map_err(|error| reason(&error))?;
                let pump = tokio::spawn(connection);
                let done = answer(job(handle, news)).await;
                let done = done.map_err(|why| why.to_string());
                pump.abort();
                done
            })
        })?;
        done.map_err(|why| Error::lab(action, &why))
    }
}

impl Drop for LabHost {
    fn drop(&mut self) {
        // Closing the channel ends the thread's loop.
        self.jobs = None;
        // A stuck thread cannot be joined; it ends with the process.
        if let Some(thread) = self.thread.take()
            && !self.is_stuck.load(Ordering::Relaxed)
        {
            let _ = thread.join();
        }
    }
}

fn ended() -> Error {
    Error::lab("use a host", &"its thread ended early")
}

/// Enters a new network namespace and drops the privileges that are not needed there.
/// Enters a network namespace, reports it or the error, and does jobs until all their senders are gone.
fn work(jobs: &Receiver<Job>, reply: &Sender<Result<File, Error>>) {
    let runtime = match enter() {
        Ok((namespace, runtime)) => {
            let _ = reply.send(Ok(namespace));
            runtime
        }
        Err(error) => {
            let _ = reply.send(Err(error));
            return;
        }
    };
    while let Ok(job) = jobs.recv() {
        job(&runtime);
    }
}

fn enter() -> Result<(File, Runtime), Error> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(no_network_namespace)?;
    // The thread configures networks and needs no access to files.
    drop_privileges(RetainedPrivileges {
        makes_networks: true,
        ..RetainedPrivileges::default()
    })?;
    let failed = |error: io::Error| Error::io("enter a network namespace", &error);
    let namespace = File::open("/proc/thread-self/ns/net").map_err(failed)?;
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(failed)?;
    Ok((namespace, runtime))
}

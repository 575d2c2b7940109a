//! Networks that trials run in, with the captures, counters and sockets that stay open there.
//!
//! A worker has one [`TestBed`] on loopback for all of its trials. A trial between hosts gets one of its own, a
//! [`HostsBed`]: its network is changed by the trial and cannot be used again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::settings::Settings;
use crate::capture::{self, CaptureSession, Taps, TrialFrames};
use crate::clock;
use crate::error::Error;
use crate::lab::forgery::Forgery;
use crate::lab::hosts::{HostNetwork, LabHost};
use crate::lab::ports::ports;
use crate::lab::{Lab, sysctl};
use crate::runner::{Endpoints, SocketSet};
use crate::sources::{HostReadings, HostSources, TrialSources};
use rstproof_core::packet::Tap;
use rstproof_core::scenario::{Family, Scenario};
use rstproof_core::time::Timestamp;

/// Network of hosts that is built for one trial of one scenario.
pub(super) struct HostsBed {
    pub(super) scenario: &'static str,
    pub(super) family: Family,
    pub(super) bed: TestBed,
    pub(super) is_used: bool,
    pub(super) _permit: Option<OwnedSemaphorePermit>,
}

/// Network that trials run in, with its captures and other sources.
pub(super) struct TestBed {
    pub(super) taps: Taps,
    pub(super) sources: TrialSources,
    pub(super) socket_sets: BTreeMap<Family, SocketSet>,
    /// First client port of the next socket set, after one had to be given up.
    pub(super) client_ports: BTreeMap<Family, u16>,
    /// Hosts other than this one.
    pub(super) hosts: Option<HostNetwork>,
    /// Raw sockets that send forged packets between the hosts.
    pub(super) forgery: Option<Forgery>,
}

impl TestBed {
    /// Returns the number of overflows of the neighbour tables so far; `None` if it cannot be read, and on loopback, which
    /// needs no neighbours.
    pub(super) fn neighbour_table_overflows(&self) -> Option<u64> {
        self.hosts.as_ref()?.neighbour_table_overflows().ok()
    }

    /// Returns the addresses and hosts that a trial over this family uses.
    fn endpoints(&self, lab: &Lab, family: Family) -> Result<Endpoints, Error> {
        if let Some(hosts) = &self.hosts {
            return Ok(Endpoints {
                client: hosts.address(false, family),
                server: hosts.address(true, family),
                unused_address: Some(hosts.unused_address(family)),
                hosts: Some([Arc::clone(&hosts.client), Arc::clone(&hosts.server)]),
            });
        }
        let ends = lab.ends(family);
        let ends = ends.map_err(|why| Error::Usage(why.to_owned()))?;
        Ok(Endpoints::local(ends))
    }

    /// Takes the socket set for this family, or sets one up.
    pub(super) fn take_socket_set(
        &mut self,
        lab: &Lab,
        family: Family,
        port: u16,
    ) -> Result<SocketSet, Error> {
        if let Some(socket_set) = self.socket_sets.remove(&family) {
            return Ok(socket_set);
        }
        let socket_set = SocketSet::open(self.endpoints(lab, family)?, port)?;
        Ok(match self.client_ports.remove(&family) {
            Some(client_port) => socket_set.with_next_client_port(client_port),
            None => socket_set,
        })
    }

    /// Builds a network of hosts with a capture at both ends. The inner error is the reason why there can be none for
    /// trials over this family.
    pub(super) fn between_hosts(
        settings: &Settings,
        scenario: &Scenario,
        family: Family,
    ) -> Result<Result<Self, String>, Error> {
        let mut needs = scenario.needs();
        needs.forgery |= settings.decoy.is_some();
        let firewall = needs.firewall.then_some(settings.port);
        let hosts = match HostNetwork::build(scenario, firewall)? {
            Ok(hosts) => hosts,
            Err(why) => return Ok(Err(why)),
        };
        // Before there is a capture that would record the datagrams.
        if let Some(why) = hosts.lacks(scenario, family)? {
            return Ok(Err(why));
        }
        let crossing = hosts.crossing()?;
        let destinations = crossing.destinations()?;
        let open = |host: &LabHost, tap: Tap| open_at(host, tap, &hosts, settings, &destinations);
        let client = open(&hosts.client, Tap::Client)?;
        let server = open(&hosts.server, Tap::Server)?;
        let both = [&hosts.client, &hosts.server];
        let [one, other] = both.map(|host| host.run(|_| HostSources::open()));
        Ok(Ok(Self {
            taps: Taps::two(client, server, crossing),
            sources: TrialSources::new(&settings.sources, [one?, other?], hosts.addresses()),
            socket_sets: BTreeMap::new(),
            client_ports: BTreeMap::new(),
            forgery: if needs.forgery {
                Some(hosts.forgery()?)
            } else {
                None
            },
            hosts: Some(hosts),
        }))
    }

    /// Moves the capture and the sources to the new host after the server has rebooted.
    pub(super) fn follow_reboot(
        &mut self,
        settings: &Settings,
        batch: &mut TrialFrames,
    ) -> Result<(), Error> {
        let (Some(hosts), Some(crossing)) = (&self.hosts, self.taps.crossing()) else {
            return Ok(());
        };
        let crossing = hosts.crossing_again(crossing)?;
        let destinations = crossing.destinations()?;
        let server = open_at(&hosts.server, Tap::Server, hosts, settings, &destinations)?;
        self.taps.replace_server(server, crossing, batch)?;
        // The old host's sources stay open: what they report belongs to the trial.
        self.sources.add(hosts.server.run(|_| HostSources::open())?)
    }

    /// Restores an interrupted network. Segments that were held up pass then and no longer belong to the trial.
    /// Returns the end of the trial and the readings up to it; `None` if nothing was interrupted.
    pub(super) fn repair(
        &mut self,
        batch: &mut TrialFrames,
    ) -> Result<Option<(Timestamp, HostReadings)>, Error> {
        if !self.hosts.as_ref().is_some_and(HostNetwork::is_broken) {
            return Ok(None);
        }
        let at = clock::now()?;
        let cut = (at, self.sources.read_hosts()?);
        batch.end(at);
        self.hosts.as_mut().map_or(Ok(()), HostNetwork::repair)?;
        Ok(Some(cut))
    }

    /// Applies the settings of this scenario until the returned value is dropped; on the hosts of a network, for the
    /// rest of their lifetime.
    pub(super) fn change_settings(&self, scenario: &Scenario) -> Result<sysctl::Changed, Error> {
        match &self.hosts {
            Some(hosts) => {
                hosts.change_settings(scenario.sysctls)?;
                Ok(sysctl::Changed::default())
            }
            None => sysctl::Changed::make(scenario.sysctls),
        }
    }
}

/// Opens the capture at one end of the network between hosts.
fn open_at(
    host: &LabHost,
    tap: Tap,
    hosts: &HostNetwork,
    settings: &Settings,
    destinations: &[SocketAddr],
) -> Result<CaptureSession, Error> {
    let config = capture::Config {
        interface: tap.interface().unwrap_or("lo").to_owned(),
        filter: settings.filter.clone(),
        addresses: hosts.addresses(),
        ports: ports(settings.port),
        small_ring: true,
        tap,
        crossing: destinations.to_vec(),
    };
    host.run(move |_| CaptureSession::open(&config))?
}

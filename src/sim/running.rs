//! Starting a simulator, and the handle on a started one.

use super::{ChannelFault, DeviceFault, Error, Options, state::Device};
use crate::{base::TaskGroup, model::Profile};
use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
};
use tokio::net::TcpListener;

/// A simulated device that is yet to be started.
pub struct Simulator;

/// A started simulator. Cheap to clone; it runs until its task group stops.
#[derive(Clone)]
pub struct Running {
    /// Where ISAPI listens.
    pub http_addr: SocketAddr,
    /// Where RTSP listens.
    pub rtsp_addr: SocketAddr,
    /// Where faults are driven by HTTP, if anywhere.
    pub control_addr: Option<SocketAddr>,
    device: Arc<Device>,
    group: TaskGroup,
}

impl Simulator {
    /// Binds every port and serves until `group` stops.
    ///
    /// # Errors
    /// Where the options contradict a limit, or a port cannot be had.
    pub async fn start(options: Options, group: &TaskGroup) -> Result<Running, Error> {
        options.check().map_err(Error::Options)?;
        let (_http, http_addr) = bind(&options, options.http_port).await?;
        let (_rtsp, rtsp_addr) = bind(&options, options.rtsp_port).await?;
        let control_addr = match options.control_port {
            Some(port) => Some(bind(&options, port).await?.1),
            None => None,
        };
        let device = Arc::new(Device::new(options));
        Ok(Running { http_addr, rtsp_addr, control_addr, device, group: group.clone() })
    }
}

async fn bind(options: &Options, port: u16) -> Result<(TcpListener, SocketAddr), Error> {
    let address = SocketAddr::new(options.listen, port);
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let real = listener.local_addr()?;
        Ok((listener, real))
    };
    bound.await.map_err(|source| Error::Bind { address, source })
}

impl Running {
    /// Sets or ends a fault of one channel.
    ///
    /// # Errors
    /// Where there is no such channel, or no picture of such a size.
    pub fn channel(&self, channel: u32, fault: ChannelFault) -> Result<(), Error> {
        self.device.fault_channel(channel, fault)
    }

    /// Sets or ends a fault of the whole device.
    pub fn device(&self, fault: DeviceFault) {
        self.device.fault_device(&fault);
        if let DeviceFault::Reboot(down) = fault {
            let (device, stop) = (self.device.clone(), self.group.stop_token());
            self.group.spawn("simulated reboot", async move {
                tokio::select! {
                    () = device.options.clock.sleep(down) => device.fault_device(&DeviceFault::Online),
                    () = stop.cancelled() => {}
                }
            });
        }
    }

    /// Video frames of one stream that were handed to the network, to all its viewers together.
    pub fn frames_sent(&self, channel: u32, profile: Profile) -> u64 {
        self.device.channel(channel).map_or(0, |c| c.frames_sent(profile).load(Ordering::Relaxed))
    }

    /// RTSP sessions of one channel that are set up now, main and sub together.
    pub fn sessions_open(&self, channel: u32) -> u64 {
        self.device.channel(channel).map_or(0, |c| c.sessions_open.load(Ordering::Relaxed))
    }

    /// TEARDOWN requests seen, of all channels.
    pub fn teardowns(&self) -> u64 {
        self.device.channels.iter().map(|c| c.teardowns.load(Ordering::Relaxed)).sum()
    }

    /// Wrong logins seen, by ISAPI and RTSP together.
    pub fn logins_failed(&self) -> u64 {
        self.device.with_logins(|l| l.failed())
    }

    /// Everything that `GET /` on the control port shows.
    pub fn state(&self) -> serde_json::Value {
        self.device.to_json()
    }
}
